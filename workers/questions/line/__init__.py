"""Lines along directions, in the workers."""
