"""Whose address a request has: the connection's, or what a proxy of the deployment says.

Owns the reading of `X-Forwarded-For`, which anybody may write: it counts as far as it was written
by proxies that the deployment names, and no further. Never decides what an address may do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FIELD: Final = b"x-forwarded-for"
#: Nobody has a longer chain of proxies.
_MOST_HOPS: Final = 32
#: One customer's network in IPv6: a single machine has all of its addresses.
_IPV6_PREFIX: Final = 64


class Proxies:
    """The proxies in front of the service.

    Args:
        networks: their addresses, or networks of them, such as `10.0.0.0/8`.

    Raises:
        ValueError: one of them is neither.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: list[_Network] = [ipaddress.ip_network(one) for one in networks]

    def trusts(self, address: str) -> bool:
        """Whether this is one of them."""
        found = _read(address)
        return found is not None and self._holds(found)

    def caller(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address that a request comes from.

        Args:
            peer: of the connection.
            forwarded: the values of every field `X-Forwarded-For`, in order.
        """
        address = peer
        hops = ",".join(forwarded).split(",") if forwarded else []
        # each proxy appends whom it heard from: read from the end, for as long as a proxy speaks
        for hop in reversed(hops[-_MOST_HOPS:]):
            if not self.trusts(address):
                break
            said = _read(hop.strip())
            if said is None:
                break  # the proxy's own address is the last thing known
            address = str(said)
        return address

    def _holds(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def bucket_of(address: str) -> str:
    """What is counted as one caller: an IPv4 address, or the network of an IPv6 one."""
    found = _read(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _IPV6_PREFIX), strict=False))
    return address if found is None else str(found)


def _read(text: str) -> _Address | None:
    """An address, with a port or without: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # an IPv4 caller of a socket that speaks both
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


class CallersAddress:
    """Middleware: makes the scope's `client` the caller's address."""

    def __init__(self, app: ASGIApp, *, proxies: Proxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client is not None and self._proxies.trusts(client[0]):
            said = [value.decode("latin-1") for name, value in scope["headers"] if name == FIELD]
            address = self._proxies.caller(client[0], said)
            if address != client[0]:
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)


def address_of(scope: Scope) -> str:
    """Whom requests without a key are counted by."""
    client = scope.get("client")
    return "nobody" if client is None else bucket_of(client[0])
