"""The organisation's catalog in a browser: pages without which everything still works by HTTP."""
