"""The steps of a job, one module per kind of unit: what a supervisor does for each."""
