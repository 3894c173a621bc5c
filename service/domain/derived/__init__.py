"""Derived measures: numbers read off a finished grid, each with its name and definition."""
