"""The line through two checkpoints: everything pure that is this kind's."""
