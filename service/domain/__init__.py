"""Pure words and rules of Lossatlas.

Imports the standard library, pydantic and numpy only; performs no I/O and reads no clock,
so that every rule here can be tested by calling it.
"""
