"""Which IP addresses the service asks: the world's, an organisation's own, and no others. Pure.

Decided by what is allowed: of IPv6 the block from which addresses of the world are given out. What
IANA's special-purpose registries (RFC 6890, 8190) take out of that, and out of IPv4, is listed here
rather than left to the standard library, whose list changes with its release and lacks some.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _v4(*blocks: str) -> tuple[ipaddress.IPv4Network, ...]:
    return tuple(map(ipaddress.IPv4Network, blocks))


def _v6(*blocks: str) -> tuple[ipaddress.IPv6Network, ...]:
    return tuple(map(ipaddress.IPv6Network, blocks))


#: Of this machine.
_LOOPBACK_4: Final = _v4("127.0.0.0/8")
_LOOPBACK_6: Final = _v6("::1/128")
#: Of an organisation's own network (RFC 1918, RFC 4193).
_OWN_4: Final = _v4("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
_OWN_6: Final = _v6("fc00::/7")

#: Not of the world, and nobody's own.
_SPECIAL_4: Final = _v4(
    "0.0.0.0/8",  # this network
    "100.64.0.0/10",  # shared by a provider's customers; clouds keep credentials there
    "169.254.0.0/16",  # link-local
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # relays of 6to4
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarking
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
)
#: All that is given out to the world.
_WORLD_6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6: Final = _v6(
    "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID and others
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4: an IPv4 address lies behind
    "2620:4f:8000::/48",  # AS112
    "3fff::/20",  # documentation
    "3ffe::/16",  # of the 6bone, given back
)
#: The second half of ISATAP's addresses begins so; an IPv4 address follows (RFC 5214).
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def allowed(address: Address, *, private: bool, loopback: bool) -> bool:
    """Whether this address may be asked.

    Args:
        private: addresses of an organisation's own network too.
        loopback: this machine too.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        if address.ipv4_mapped is not None:
            # the system connects to that one
            return allowed(address.ipv4_mapped, private=private, loopback=loopback)
        if _within(address, _LOOPBACK_6):
            return loopback
        if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
            return False
        if _within(address, _OWN_6):
            return private
        return address in _WORLD_6 and not _within(address, _SPECIAL_6)
    if _within(address, _LOOPBACK_4):
        return loopback
    if _within(address, _OWN_4):
        return private
    return not _within(address, _SPECIAL_4)


def _within(
    address: Address, blocks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    return any(address in block for block in blocks)
