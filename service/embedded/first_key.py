"""The key that `up` hands to this machine's users: made once, kept in the data folder.

Owns the file beside the database's row; the ledger keeps only the secret's hash.
"""

from __future__ import annotations

import os
from pathlib import Path

from service.embedded import files
from service.embedded.refusal import Refused
from service.ledger import keys
from service.ledger.session import Database


def obtain(database: Database, path: Path) -> str:
    """The secret of a valid key: the file's, a new database's first one, or `LOSSATLAS_KEY`'s.

    Raises:
        Refused: the database has keys and none of their secrets is known here.
        Problem: `unavailable`.
    """
    with database.transaction() as session:
        first = keys.ensure_first(session)
        if first is not None:
            # before the commit: a key whose secret is nowhere would shut everybody out
            files.write_private(path, first + "\n")
            return first
        kept = path.read_text().strip() if path.exists() else ""
        for secret in (kept, os.environ.get("LOSSATLAS_KEY", "")):
            if secret and keys.authenticate(session, secret) is not None:
                return secret
    raise Refused(
        f"the database has API keys, but {path} holds the secret of none that is valid; put one "
        "there, or into LOSSATLAS_KEY (a new one: lossatlas-server create-key "
        "--name local --role admin)"
    )
