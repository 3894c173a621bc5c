"""Projects: what there is, and what holds in each."""
