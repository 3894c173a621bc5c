"""Every kind of question is one folder here; `table` registers them and nothing else names one."""
