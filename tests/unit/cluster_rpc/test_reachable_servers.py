"""Which servers are there."""

from __future__ import annotations

import pytest

from tradecast.cluster_rpc import reachable_servers as module
from tradecast.cluster_rpc.protocol import Heartbeat
from tradecast.cluster_rpc.reachable_servers import ReachableServers


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def servers(clock: Clock) -> ReachableServers:
    made = ReachableServers("me", 4.0, clock)
    made.on_heartbeat(Heartbeat("me", 7, 4.0))
    return made


def hear_own(servers: ReachableServers, clock: Clock, seconds: float) -> list[str]:
    """Time passes, and this server hears itself all along; who is gone at its end."""
    gone: list[str] = []
    end = clock.now + seconds
    while clock.now < end:
        clock.now += 0.5
        servers.on_heartbeat(Heartbeat("me", 7, 4.0))
        gone += servers.remove_expired()
    return gone


def test_others_count_and_this_one_does_not(servers: ReachableServers) -> None:
    servers.on_heartbeat(Heartbeat("a", 5, 4.0))
    servers.on_heartbeat(Heartbeat("b", 6, 4.0))
    servers.on_heartbeat(Heartbeat("b", 8, 4.0))
    assert (len(servers), servers.others, servers.connections) == (2, frozenset("ab"), 13)


def told(servers: ReachableServers) -> list[str] | None:
    return None if servers.boots is None else sorted(servers.boots)


def test_what_the_others_report_of_forwarding_requests(clock: Clock) -> None:
    servers = ReachableServers("me", 4.0, clock)
    servers.on_heartbeat(Heartbeat("a", 5, 4.0, boot="boot-a"))
    assert told(servers) is None, "it has not even heard itself"
    servers.on_heartbeat(Heartbeat("me", 7, 4.0, boot="mine"))
    servers.on_heartbeat(Heartbeat("b", 5, 4.0))
    assert told(servers) == ["", "boot-a"]
    servers.on_heartbeat(Heartbeat("b", 5, 4.0, boot="boot-b"))
    servers.on_heartbeat(Heartbeat("a", 5, 4.0, leaving=True))
    assert told(servers) == ["boot-b"]
    clock.now += 100
    assert servers.remove_expired() == ()
    assert told(servers) == ["boot-b"], "as long as this server is deaf, nobody is gone"


def test_a_silent_server_is_gone_after_its_own_lease(servers: ReachableServers, clock: Clock) -> None:
    servers.on_heartbeat(Heartbeat("a", 5, 4.0))
    servers.on_heartbeat(Heartbeat("b", 6, 10.0))
    assert hear_own(servers, clock, 4.0) == []
    assert hear_own(servers, clock, 0.5) == ["a"]
    assert (servers.others, servers.connections) == (frozenset("b"), 6)
    servers.on_heartbeat(Heartbeat("a", 5, 4.0))  # it was frozen only
    assert servers.others == {"a", "b"}


def test_who_leaves_is_gone_at_once(servers: ReachableServers) -> None:
    servers.on_heartbeat(Heartbeat("a", 5, 4.0))
    servers.on_heartbeat(Heartbeat("a", 0, 4.0, leaving=True))
    servers.on_heartbeat(Heartbeat("never seen", 0, 4.0, leaving=True))
    assert (len(servers), servers.connections) == (0, 0)


def test_nobody_is_gone_while_nothing_is_heard(servers: ReachableServers, clock: Clock) -> None:
    servers.on_heartbeat(Heartbeat("a", 5, 4.0))
    for _ in range(100):
        clock.now += 0.5
        assert not servers.remove_expired()
    assert servers.is_isolated
    assert servers.others == {"a"}
    assert hear_own(servers, clock, 4.5) == []
    assert hear_own(servers, clock, 0.5) == ["a"]


def test_nobody_is_gone_after_this_server_stood_still(servers: ReachableServers, clock: Clock) -> None:
    servers.on_heartbeat(Heartbeat("a", 5, 4.0))
    clock.now += 60  # frozen: what the others told meanwhile has not been read yet
    servers.on_heartbeat(Heartbeat("me", 7, 4.0))
    assert not servers.remove_expired()
    assert servers.others == {"a"}


def test_a_new_server_is_isolated(clock: Clock) -> None:
    assert ReachableServers("me", 4.0, clock).is_isolated


def test_there_is_a_bound(servers: ReachableServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SERVERS", 3)
    for number in range(10):
        servers.on_heartbeat(Heartbeat(f"s{number}", 1, 4.0))
    servers.on_heartbeat(Heartbeat("s1", 5, 4.0))
    assert (len(servers), servers.connections) == (3, 7)
