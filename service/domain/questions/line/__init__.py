"""Lines along directions from a checkpoint: everything pure that is this kind's."""
