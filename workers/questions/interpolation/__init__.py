"""The line through two checkpoints, in the workers."""
