"""Uploads: large files in parts, straight to the object store."""
