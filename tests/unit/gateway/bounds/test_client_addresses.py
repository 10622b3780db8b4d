"""Transports of clients that are not authenticated, by address."""

from __future__ import annotations

from tradecast.engine.http.addresses import Network
from tradecast.gateway.bounds.client_addresses import ClientAddresses

HERE, THERE = Network(4, 1), Network(4, 2)


def test_each_address_has_its_own_number() -> None:
    addresses = ClientAddresses(2)
    addresses.add("a", HERE)
    assert not addresses.is_full(HERE)
    addresses.add("b", HERE)
    assert addresses.is_full(HERE)
    assert not addresses.is_full(THERE)
    assert not addresses.is_full(Network(6, 1))


def test_who_is_gone_makes_room_and_leaves_nothing() -> None:
    addresses = ClientAddresses(1)
    addresses.add("a", HERE)
    addresses.remove("a")
    addresses.remove("a")
    addresses.remove("nobody")
    assert not addresses.is_full(HERE)
    assert not addresses.transports_of(HERE)
    assert not addresses._of
    assert not addresses._network_of


def test_handshakes_that_wait_are_counted() -> None:
    addresses = ClientAddresses(2)
    addresses.add_waiting(HERE)
    addresses.add("a", HERE)
    assert addresses.is_full(HERE)
    addresses.add_waiting(HERE)
    addresses.remove_waiting(HERE)
    assert addresses.is_full(HERE)
    addresses.remove_waiting(HERE)
    assert not addresses.is_full(HERE)
    assert not addresses._waiting


def test_they_are_reported_oldest_first() -> None:
    addresses = ClientAddresses(9)
    for eio_sid in "cab":
        addresses.add(eio_sid, HERE)
    addresses.remove("a")
    addresses.add("a", HERE)
    assert list(addresses.transports_of(HERE)) == ["c", "b", "a"]


def test_without_a_bound_nothing_is_kept() -> None:
    addresses = ClientAddresses(0)
    for number in range(100):
        addresses.add(f"{number}", HERE)
    assert not addresses.is_full(HERE)
    assert not addresses._of
