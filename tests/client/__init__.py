"""The client and its command line."""
