"""Data formats of landscapes: one file each here, and `table` lists them.

Owns what may be asked of each and the names (entity tags) of the answers. The bytes of other
programs' formats are `service.exports`'.
"""
