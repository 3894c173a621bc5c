"""What makes `up` stop before it has begun: something that its user must change."""

from __future__ import annotations


class Refused(Exception):
    """One line that says what is wrong and what to do. Exit status 2."""
