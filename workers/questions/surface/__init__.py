"""Surfaces over a plane, in the workers."""
