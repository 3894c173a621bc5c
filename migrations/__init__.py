"""The ledger's history: Alembic migrations, run by `service.ledger.schema.upgrade`.

Each suits the code of the release before it, so that processes may be replaced one by one.
"""
