"""Every route of an application, and addresses of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from service.http.parameters import taken_by
from tests.support.serving import Serving

_ID = "01k5m8z3r7q9w2x4y6t8v0b1c3"
#: Of the right form, and of nothing that there is.
NOTHING: Mapping[str, str] = {
    "digest": "sha256:" + "0" * 64,
    "extension": "png",
    "project": "nowhere",
    "name": "nothing",
    "token": "A" * 43,
    "model_id": f"mdl_{_ID}",
    "checkpoint_id": f"ckp_{_ID}",
    "dataset_id": f"dst_{_ID}",
    "direction_id": f"dir_{_ID}",
    "job_id": f"job_{_ID}",
    "landscape_id": f"lsc_{_ID}",
    "check_id": f"chk_{_ID}",
    "key_id": f"key_{_ID}",
    "share_id": f"shr_{_ID}",
    "trust_id": f"tru_{_ID}",
    "upload_id": f"upl_{_ID}",
}


@dataclass(frozen=True)
class Address:
    """A method and a path template.

    Attributes:
        taken: its query parameters, and which of them may be repeated; None for any.
    """

    method: str
    template: str
    taken: Mapping[str, bool] | None

    @property
    def places(self) -> list[str]:
        """The parameters of the path."""
        return re.findall(r"{(\w+)}", self.template)

    @property
    def is_page(self) -> bool:
        """Whether people look at it."""
        return not self.template.startswith(("/v1/", "/static/", "/s/"))

    def at(self, ids: Mapping[str, str] = NOTHING) -> str:
        """The path with its parameters filled in."""
        return re.sub(r"{(\w+)}", lambda m: ids[m.group(1)], self.template)


def addresses(running: Serving) -> Iterator[Address]:
    """All that the application answers."""
    app = running.server.config.app
    assert isinstance(app, FastAPI)
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        assert isinstance(route, APIRoute), context.path
        for method in sorted(context.methods or ()):
            yield Address(method, str(context.path), taken_by(route))
