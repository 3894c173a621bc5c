"""Derived measures: numbers read off a finished grid, each with its name and definition."""

from service.domain.derived.measures import measure

__all__ = ["measure"]
