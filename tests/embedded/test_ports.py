"""Ports are free, held, and said to be in use when they are."""

from __future__ import annotations

import socket

import pytest

from service.embedded import ports


def test_held_ports_differ_and_can_be_listened_on_once_released() -> None:
    held = ports.hold(9)
    assert len({one.port for one in held}) == 9
    for one in held:
        with pytest.raises(ports.PortInUse):
            ports.Held(one.port)
        with socket.create_server((ports.LOOPBACK, one.release())):
            pass


def test_they_lie_below_what_the_kernel_gives_to_outgoing_connections() -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest = int(file.read().split()[0])
    held = ports.hold(20)
    assert max(one.port for one in held) < lowest
    for one in held:
        one.release()


def test_the_wanted_ones_are_taken_if_all_are_free() -> None:
    wanted = [one.release() for one in ports.hold(3)]
    held = ports.hold(3, wanted)
    assert [one.port for one in held] == wanted
    others = ports.hold(3, wanted)
    assert not {one.port for one in others} & set(wanted)
    for one in [*held, *others]:
        one.release()


def test_a_port_in_use_is_named() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ports.PortInUse, match=f"port {port} of 127.0.0.1 is in use"):
            ports.hold_one(port)
