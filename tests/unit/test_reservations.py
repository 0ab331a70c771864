"""Reserved ports over real sockets: found, shared with our own, proven free of others."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address

import pytest

from node.reservations import Reservations

# An address of this process alone: what others on this machine listen on, or connect from, is not in the way.
HOST = str(IPv4Address("127.128.0.0") + os.getpid() % 2**22)
HANDLE = "resolver.handle_port"
HTTP = "resolver.http_port"


@pytest.fixture
def reservations() -> Iterator[Reservations]:
    made = Reservations()
    yield made
    made.release()


def listener(port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((HOST, port))
    made.listen()
    return made


def test_ports_are_found_and_off_stays_off(reservations: Reservations) -> None:
    assert reservations.reserve({HANDLE: HOST, HTTP: HOST}, {HANDLE: 0, HTTP: None}) == []
    assert reservations.ports[HTTP] is None
    assert reservations.ports[HANDLE]


def test_our_listeners_share_a_reserved_port_and_get_all_connections(reservations: Reservations) -> None:
    reservations.reserve({HTTP: HOST}, {HTTP: 0})
    port = reservations.ports[HTTP] or 0
    with closing(listener(port)) as first, closing(listener(port)) as second:
        first.setblocking(False)
        second.setblocking(False)
        accepted = 0
        for _ in range(32):
            with socket.create_connection((HOST, port)):
                for one in (first, second):
                    try:
                        one.accept()[0].close()
                    except BlockingIOError:
                        continue
                    accepted += 1
    assert accepted == 32


def test_a_port_with_a_listener_is_taken_even_if_it_would_share(reservations: Reservations) -> None:
    with closing(listener()) as other:
        port = other.getsockname()[1]
        (trouble,) = reservations.reserve({HTTP: HOST}, {HTTP: port})
    assert trouble.startswith(f"{HTTP}: {HOST} port {port}: ")


def test_a_port_that_another_node_reserved_is_taken(reservations: Reservations) -> None:
    reservations.reserve({HTTP: HOST}, {HTTP: 0})
    other = Reservations()
    assert len(other.reserve({HTTP: HOST}, {HTTP: reservations.ports[HTTP]})) == 1


def test_a_handle_port_must_be_free_for_udp_too(reservations: Reservations) -> None:
    with closing(socket.socket(type=socket.SOCK_DGRAM)) as other:
        other.bind((HOST, 0))
        port = other.getsockname()[1]
        assert len(reservations.reserve({HANDLE: HOST}, {HANDLE: port})) == 1
        assert reservations.reserve({HTTP: HOST}, {HTTP: port}) == []


def test_a_port_taken_for_udp_is_not_waited_for_whatever_else_has_its_number(reservations: Reservations) -> None:
    with (
        closing(listener()) as server,
        closing(socket.create_connection(server.getsockname(), source_address=("127.0.0.1", 0))) as outgoing,
        closing(socket.socket(type=socket.SOCK_DGRAM)) as other,
    ):
        port = outgoing.getsockname()[1]
        other.bind((HOST, port))
        (trouble,) = reservations.reserve({HANDLE: HOST}, {HANDLE: port})
    assert "outgoing" not in trouble


def test_a_port_of_an_outgoing_connection_is_waited_for(reservations: Reservations) -> None:
    with closing(listener()) as server:
        outgoing = socket.create_connection(server.getsockname(), source_address=(HOST, 0))
        port = outgoing.getsockname()[1]
        (trouble,) = Reservations(patience_s=0.1).reserve({HTTP: HOST}, {HTTP: port})
        assert "an outgoing connection of this machine uses it" in trouble

        # Closed by the other end first, it leaves nothing behind here.
        def hang_up() -> None:
            server.accept()[0].close()
            assert outgoing.recv(1) == b""
            outgoing.close()

        soon = threading.Timer(0.3, hang_up)
        soon.start()
        assert reservations.reserve({HTTP: HOST}, {HTTP: port}) == []
        soon.join()


def test_every_trouble_is_named(reservations: Reservations) -> None:
    troubles = reservations.reserve({HANDLE: "198.51.100.1", HTTP: "203.0.113.1"}, {HANDLE: 0, HTTP: 0})
    assert len(troubles) == 2


def test_a_released_port_is_free_again(reservations: Reservations) -> None:
    reservations.reserve({HTTP: HOST}, {HTTP: 0})
    port = reservations.ports[HTTP]
    reservations.release()
    assert Reservations().reserve({HTTP: HOST}, {HTTP: port}) == []
