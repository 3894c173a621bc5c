"""What workers do of one kind of question alone: each kind is one folder here.

A folder has two halves: `supervising`, without torch, and `computing`, which a child loads. What
they say to each other alone are types of the folder too. `table` registers the folders, and
nothing else of the workers knows a kind by name.
"""
