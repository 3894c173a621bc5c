"""Which hosts the service asks, whatever an administrator or a provider's document names."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.problems import Problem
from service.identity import fetching
from service.identity.addresses import allowed
from service.identity.fetching import fetch_json
from tests.support.provider import identity_provider


@pytest.mark.parametrize(
    ("address", "public", "own"),
    [
        ("8.8.8.8", True, True),
        ("2001:4860:4860::8888", True, True),
        ("10.1.2.3", False, True),
        ("192.168.0.1", False, True),
        ("172.16.0.1", False, True),
        ("fd00::1", False, True),
        ("127.0.0.1", False, False),
        ("127.9.9.9", False, False),
        ("::1", False, False),
        ("0.0.0.0", False, False),  # noqa: S104
        ("::", False, False),
        ("169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("100.100.100.200", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("240.0.0.1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("::ffff:10.0.0.1", False, True),
        ("64:ff9b::7f00:1", False, False),
        ("64:ff9b:1::7f00:1", False, False),
        ("64:ff9b:1:ffff::", False, False),
        ("2002:7f00:1::", False, False),
        ("2002:808:808::", False, False),
        ("::127.0.0.1", False, False),
        ("::8.8.8.8", False, False),
        ("::2", False, False),
        ("::ffff:0:127.0.0.1", False, False),
        ("fec0::1", False, False),
        ("feff::1", False, False),
        ("fe80::1%lo", False, False),
        ("2606:4700::1%lo", False, False),
        ("ff02::1", False, False),
        ("100::1", False, False),
        ("5f00::1", False, False),
        ("4000::1", False, False),
        ("2001:0:808:808::1", False, False),
        ("2606:4700::5efe:7f00:1", False, False),
        ("2606:4700::200:5efe:a01:203", False, False),
        ("fd00::5efe:7f00:1", False, False),
        ("192.0.0.9", False, False),
        ("192.0.0.192", False, False),
        ("198.18.0.1", False, False),
        ("192.88.99.1", False, False),
        ("::ffff:100.100.100.200", False, False),
    ],
)
def test_addresses(address: str, public: bool, own: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert allowed(parsed, private=False, loopback=False) is public
    assert allowed(parsed, private=True, loopback=False) is own


#: IANA's registries of special-purpose addresses, whole, and what other registries reserve
#: (multicast, the rest of IPv6, what was given back).
SPECIAL = [
    "0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32",
    "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24", "192.31.196.0/24",
    "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
    "::1/128", "::/128", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "100:0:0:1::/64", "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128",
    "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28",
    "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48",
    "3ffe::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    "::ffff:0:0:0/96", "::ffff:7f00:0/104", "::ffff:a00:0/104", "0100::/8", "0200::/7",
    "0400::/6", "0800::/5", "1000::/4", "4000::/3", "6000::/3", "8000::/3", "a000::/3",
    "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9",
]  # fmt: skip


@pytest.mark.parametrize("block", SPECIAL)
@given(data=st.data())
def test_no_special_block_is_asked(block: str, data: st.DataObject) -> None:
    """Its ends and anything between; private ones for an own host alone."""
    network = ipaddress.ip_network(block)
    size = network.num_addresses
    at = data.draw(st.sampled_from([0, size - 1]) | st.integers(0, size - 1))
    address = network[at]
    assert not allowed(address, private=False, loopback=False)
    mapped = getattr(address, "ipv4_mapped", None) or address
    own = [ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    own.append(ipaddress.ip_network("fc00::/7"))
    isatap = mapped.version == 6 and (int(mapped) >> 32) & 0xFDFFFFFF == 0x5EFE
    inside = any(mapped.version == n.version and mapped in n for n in own)
    assert allowed(address, private=True, loopback=False) is (inside and not isatap)


@given(st.integers(0, (1 << 32) - 1))
def test_an_ipv4_address_in_an_ipv6_one_is_no_way_round(number: int) -> None:
    inner = ipaddress.IPv4Address(number)
    for form in (
        f"::{inner}",
        f"64:ff9b::{inner}",
        f"64:ff9b:1::{inner}",
        f"::ffff:0:{inner}",
        f"2606:4700::5efe:{inner}",
        f"2606:4700::200:5efe:{inner}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))),
        str(ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF))),
    ):
        assert not allowed(ipaddress.ip_address(form), private=True, loopback=False), form
    mapped = ipaddress.ip_address(f"::ffff:{inner}")
    for private in (True, False):
        alone = allowed(inner, private=private, loopback=False)
        assert allowed(mapped, private=private, loopback=False) is alone
        assert not alone or private or inner.is_global


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://user:pass@example.org/",
        "https://",
        "https://[",
        "https://example.org:99999/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://[::127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25lo]/",
        "https://[fec0::1]/",
        "https://[64:ff9b:1::7f00:1]/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://\u24db\u24de\u24d2alhost/",
        "https://b\u00fccher.example/",
        "https://example.org\u3002evil.example/",
        "https://@example.org/",
        "https://:x@example.org/",
        "https://example.org\\@127.0.0.1/",
        "https://127.0.0.1\\.example.org/",
        "https://exam\tple.org/",
        "https://example.org/\r\nX: y",
        "https://example.org /",
        "https://example.org:22/",
        "https://example.org:25/",
        "https://example.org:0/",
        "https://example.org:-1/",
        "HTTPS://user@example.org/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://host.invalid/",
        "https://" + "a" * 300 + ".example/",
        "https://example.org/#fragment",
        "//example.org/",
        "",
    ],
)
def test_addresses_that_are_not_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(fetching, "_read", connected)
    with pytest.raises(Problem) as caught:
        fetch_json(url, own_host="")
    assert caught.value.code == "identity_provider_unavailable"


def test_a_name_with_one_bad_address_among_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a name is made to point at this machine every other time it is asked for."""
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in ("8.8.8.8", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(Problem, match="not asked"):
        fetch_json("https://two.example/", own_host="two.example")


def test_loopback_without_encryption_is_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(Problem, match="by https"):
        fetch_json("http://elsewhere.example/", own_host="", loopback=True)


def test_a_name_with_an_address_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is an IPv6 address and no way to it."""
    with identity_provider() as provider:
        port = int(provider.issuer.rpartition(":")[2])
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.2", "127.0.0.1")
        ]
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **more: (
                both if host == "two.example" else real(host, *rest, **more)
            ),
        )
        found = fetch_json(f"http://two.example:{port}/jwks", own_host="", loopback=True)
    assert len(found["keys"]) == 2


def test_a_certificate_that_nobody_vouches_for() -> None:
    """The connection goes to the address that was checked; the certificate is the name's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            accepted, _ = listening.accept()
            with accepted, pytest.raises(OSError):  # noqa: PT011 (no certificate, whatever is said)
                context.wrap_socket(accepted, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Problem, match="does not answer"):
            fetch_json(f"https://localhost:{port}/", own_host="localhost", loopback=True)
        thread.join(10)
    assert names == ["localhost"]
