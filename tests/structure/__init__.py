"""What the code is made of: imports, names and who uses them."""
