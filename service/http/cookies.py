"""The cookies that the service sets: for this host alone, and out of reach of scripts.

Owns their names and attributes. Over https the name has the prefix `__Host-`, which browsers give
to no cookie that another host, or a page without encryption, could have set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import cookie_parser
from starlette.responses import Response

#: What we set is shorter; what is longer is nobody's.
_LONGEST: Final = 4096


@dataclass(frozen=True)
class Cookie:
    """One cookie.

    Attributes:
        name: without the prefix.
        secure: whether people reach the service over https.
    """

    name: str
    secure: bool
    same_site: Literal["lax", "strict"] = "lax"

    @property
    def full_name(self) -> str:
        """As browsers know it."""
        return f"__Host-{self.name}" if self.secure else self.name

    def read(self, header: str | None) -> str | None:
        """Its value in the field `Cookie`, if it is there."""
        value = cookie_parser(header or "").get(self.full_name)
        return value if value and len(value) <= _LONGEST and value.isascii() else None

    def set(self, response: Response, value: str, *, seconds: int) -> None:
        """Adds it to an answer."""
        response.set_cookie(
            self.full_name,
            value,
            max_age=seconds,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite=self.same_site,
        )

    def clear(self, response: Response) -> None:
        """Takes it away again."""
        response.delete_cookie(
            self.full_name, path="/", secure=self.secure, httponly=True, samesite=self.same_site
        )


def session_cookie(*, secure: bool) -> Cookie:
    """The one that holds a session's secret."""
    return Cookie("lossatlas", secure)
