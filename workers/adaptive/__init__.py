"""Adaptive sampling: which cells of a plane to evaluate, and what the others are taken to be.

Pure numerics on evaluated values: numpy and scipy, no torch, no I/O. Every decision follows from
the values alone, so it does not matter which worker takes it.
"""
