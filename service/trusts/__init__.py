"""CI systems: whose identity tokens are exchanged for keys that live for an hour at most."""
