"""A demonstration of the whole path: train two networks, push them, look at what they learned.

Needs the extra `demo` (torch and scikit-learn); the rest of the client imports nothing of it.
"""
