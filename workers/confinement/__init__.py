"""What a child does to itself before it reads a byte of anybody's: give up all that it can.

`terms` says what is asked of it; `applied` does it, by `limits`, `filesystem`, `identity`,
`landlock` and `seccomp`; `trial` finds out whether that works on this machine. Standard library
only, since it runs before anything else is imported. Knows nothing of jobs.
"""
