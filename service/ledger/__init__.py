"""The ledger: the only SQL of Lossatlas, and the only place that knows where truth is kept.

One file per thing owned. Functions take a `Session` of a running transaction and return frozen
records; nothing here commits but `session.Database.transaction`.
"""
