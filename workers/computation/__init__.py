"""What a child computes: the requests of `workers.protocol` carried out on the engine.

Runs in the child only. Holds no credentials, opens only the files it is given, writes none.
"""
