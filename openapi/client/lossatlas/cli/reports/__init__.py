"""What a gate came to, written for people and for CI systems."""
