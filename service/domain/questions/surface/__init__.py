"""Surfaces over a plane: everything pure that is this kind's."""
