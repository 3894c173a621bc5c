"""What the features share about what callers send: is it there, may they use it, does it fit.

Features never import each other; the rules that several of them need live here. Most of it is
pure; `lookup` and `recording` read and write the ledger and the store.
"""
