"""Checks: landscapes held against rules, on record."""
