"""Aliases: shown, moved by keys with that right, and their history."""
