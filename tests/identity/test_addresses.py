"""Which hosts the service asks, whatever an administrator or a provider's document names."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading

import pytest

from service.domain.problems import Problem
from service.identity import fetching
from service.identity.fetching import allowed, fetch_json
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
        ("2002:7f00:1::", False, False),
    ],
)
def test_addresses(address: str, public: bool, own: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert allowed(parsed, private=False, loopback=False) is public
    assert allowed(parsed, private=True, loopback=False) is own


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
