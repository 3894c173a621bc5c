"""Uploads in parts that nobody will complete: given up, in the ledger and in the store.

Owns when one is given up: begun too long ago, grown beyond what its caller announced, or known to
the store alone. Safe to repeat and to run in several processes; what one round does not reach, the
next does.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

from service.domain.problems import Problem
from service.ledger import uploads
from service.ledger.records import UploadRecord
from service.ledger.session import Database
from service.store.keys import upload_key, uploaded
from service.store.objects import ObjectStore

log = logging.getLogger(__name__)

_AT_ONCE: Final = 200
#: Between the store's word that an upload is begun and its row lie seconds; and an upload that is
#: being completed is put together before it is published.
_SURELY_NOTED: Final = timedelta(hours=1)


class Sweep:
    """Rounds over what is open; one of these looks at all of it in the course of some rounds.

    Args:
        upload_seconds: after which an upload is given up.
    """

    def __init__(self, database: Database, store: ObjectStore, *, upload_seconds: float) -> None:
        self._database = database
        self._store = store
        self._patience = timedelta(seconds=upload_seconds)
        self._reached = ""

    def run(self, stop: threading.Event, every_seconds: float) -> None:
        """Rounds until `stop` is set; what hinders one is logged, and the next tries again."""
        while not stop.wait(every_seconds):
            try:
                self.round()
            except Problem as problem:
                log.warning("unfinished uploads were not swept: %s", problem.detail)
            except Exception:  # a server that lacks one of the calls must not end the others
                log.exception("unfinished uploads were not swept")

    def round(self, now: datetime | None = None) -> int:
        """Gives up what is due; how many uploads. Raises Problem `unavailable`.

        Args:
            now: the moment, for what only the store knows; the present one when left out.
        """
        moment = now or datetime.now(UTC)
        return self._abandoned() + self._overfull() + self._unknown(moment) + self._staged(moment)

    def _abandoned(self) -> int:
        with self._database.transaction() as session:
            found = uploads.abandoned(session, self._patience, _AT_ONCE)
        return sum(self._give_up(upload, "nobody completed it") for upload in found)

    def _overfull(self) -> int:
        with self._database.transaction() as session:
            found = uploads.still_open(session, self._reached, _AT_ONCE)
        # at the end it begins anew
        self._reached = found[-1].id if len(found) == _AT_ONCE else ""
        return sum(
            self._give_up(upload, "it holds far more than was announced")
            for upload in found
            if self._store.holds_too_much(upload_key(upload.id), upload.s3_upload_id, upload.size)
        )

    def _give_up(self, upload: UploadRecord, why: str) -> bool:
        # the parts first: a row that is still open is looked at again
        self._store.abort_upload(upload_key(upload.id), upload.s3_upload_id)
        try:
            with self._database.transaction() as session:
                uploads.abort(session, upload.id)
        except Problem as problem:
            if problem.code != "conflict":
                raise
            return False  # completed at this very moment
        log.info("upload %s was given up: %s", upload.id, why)
        return True

    def _unknown(self, now: datetime) -> int:
        """What a process began and died over: uploads without a row, and objects half stored."""
        found = self._store.unfinished_uploads()
        named = {one.s3_upload_id: uploaded(one.key) for one in found}
        open_ones = self._open([identity for identity in named.values() if identity is not None])
        ended = 0
        for one in found:
            identity = named[one.s3_upload_id]
            if identity in open_ones:
                continue
            # a stream into an object may take as long as an upload
            patience = self._patience if identity is None else _SURELY_NOTED
            if one.begun is not None and now - one.begun > patience:
                self._store.abort_unfinished(one)
                log.info("what was begun at %s was given up: nobody knows of it", one.key)
                ended += 1
        return ended

    def _staged(self, now: datetime) -> int:
        """What was put together and never published, its upload being over."""
        found = {
            identity: key
            for key, since in self._store.staged()
            if (identity := uploaded(key)) and since and now - since > _SURELY_NOTED
        }
        left = sorted(found.keys() - self._open(found))
        for identity in left:
            self._store.remove_staged(found[identity])
            log.info("the bytes of upload %s were removed: it is over", identity)
        return len(left)

    def _open(self, identities: list[str] | dict[str, str]) -> frozenset[str]:
        if not identities:
            return frozenset()
        with self._database.transaction() as session:
            return uploads.open_among(session, identities)
