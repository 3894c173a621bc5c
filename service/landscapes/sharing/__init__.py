"""Links to single figures, for people without a key."""
