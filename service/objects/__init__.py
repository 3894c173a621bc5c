"""Objects: bytes by their digest, up and down in constant memory."""
