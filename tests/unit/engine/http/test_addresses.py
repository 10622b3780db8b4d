"""Which network a request comes from."""

from __future__ import annotations

import ipaddress

import pytest

from tradecast.engine.http.addresses import Network, find_network
from tradecast.engine.http.request import Request
from unit.engine.http.test_request import request


def of(peer: str | None, *forwarded: str) -> Request:
    """A request from a peer with these headers."""
    found = request(headers=[(b"x-forwarded-for", text.encode()) for text in forwarded])
    found.peer = peer
    return found


def v4(text: str) -> Network:
    return Network(4, int(ipaddress.IPv4Address(text)))


def v6(text: str) -> Network:
    return Network(6, int(ipaddress.IPv6Address(text)) >> 64)


@pytest.mark.parametrize("peer", ["8.8.8.8", "::ffff:8.8.8.8", "::ffff:808:808"])
def test_a_public_peer_counts(peer: str) -> None:
    assert find_network(of(peer), 0) == v4("8.8.8.8")


def test_of_ipv6_its_network_counts() -> None:
    one, other = of("2a00:1450:4001:82a::1"), of("2a00:1450:4001:82a:ffff:ffff:ffff:ffff")
    assert find_network(one, 0) == find_network(other, 0) == v6("2a00:1450:4001:82a::")
    assert find_network(of("2a00:1450:4001:82b::1"), 0) != find_network(one, 0)


def test_addresses_of_both_kinds_are_told_apart() -> None:
    assert find_network(of("8.8.8.8"), 0) != find_network(of("::808:808:0:0:0:0"), 0)


@pytest.mark.parametrize(
    "peer",
    [
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0"),
        *("::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "::ffff:10.0.0.1", "::", "", "unix:", None),
    ],
)
def test_behind_a_private_peer_all_look_the_same(peer: str | None) -> None:
    assert find_network(of(peer), 0) is None
    assert find_network(of(peer), 1) is None, "no proxy has said anything"


def test_without_trusted_proxies_the_header_is_not_looked_at() -> None:
    assert find_network(of("8.8.8.8", "9.9.9.9"), 0) == v4("8.8.8.8")
    assert find_network(of("10.0.0.1", "9.9.9.9"), 0) is None


@pytest.mark.parametrize(
    ("proxies", "forwarded", "client"),
    [
        (1, ["9.9.9.9"], "9.9.9.9"),
        (1, ["1.1.1.1, 9.9.9.9"], "9.9.9.9"),
        (1, ["1.1.1.1,2.2.2.2 ,9.9.9.9 "], "9.9.9.9"),
        (1, ["1.1.1.1", "9.9.9.9"], "9.9.9.9"),
        (2, ["1.1.1.1, 9.9.9.9, 10.0.0.7"], "9.9.9.9"),
        (2, ["1.1.1.1, 9.9.9.9", "10.0.0.7"], "9.9.9.9"),
        (3, ["9.9.9.9, 10.0.0.7"], "9.9.9.9"),  # by a shorter way
        (1, ["10.9.8.7"], "10.9.8.7"),  # of a client inside, who has an address of its own
        (1, ["9.9.9.9:51234"], "9.9.9.9"),
        (1, ["::ffff:9.9.9.9"], "9.9.9.9"),
    ],
)
def test_the_entry_of_the_outermost_trusted_proxy_counts(proxies: int, forwarded: list[str], client: str) -> None:
    assert find_network(of("10.0.0.1", *forwarded), proxies) == v4(client)
    assert find_network(of("8.8.8.8", *forwarded), proxies) == v4(client)
    assert find_network(of(None, *forwarded), proxies) == v4(client)


@pytest.mark.parametrize("entry", ["[2a00::1]:443", "[2a00::1]", "2a00::1", "2a00::1%3"])
def test_ipv6_with_a_port(entry: str) -> None:
    assert find_network(of("10.0.0.1", entry), 1) == v6("2a00::")


@pytest.mark.parametrize("entry", ["unknown", "_hidden", "", " ", "9.9.9", "9.9.9.9.9", "[", "]", "x" * 20_000, "\xff"])
def test_what_is_no_address_is_not_counted(entry: str) -> None:
    assert find_network(of("10.0.0.1", f"1.1.1.1, {entry}"), 1) is None
    assert find_network(of("8.8.8.8", entry), 1) is None
