"""Which servers are superseded."""

from __future__ import annotations

import random

import pytest

from tradecast.lifecycle.rollout import ENOUGH, Server, count_takers, is_superseded


def listed(text: str) -> list[Server]:
    """Servers as `revision@start`, those that are not ready yet with a `?`; `3*` for three of them."""
    servers: list[Server] = []
    for word in text.split():
        times, _, one = word.rpartition("*")
        revision, _, start = one.rstrip("?").partition("@")
        servers += [Server(revision, int(start), not one.endswith("?"))] * int(times or 1)
    return servers


@pytest.mark.parametrize(
    ("servers", "superseded"),
    [
        ("", ""),
        ("old@1", ""),
        ("4*old@1", ""),
        # a rollout: from the first newer server that is ready, and never where none is
        ("4*old@1 new@9?", ""),
        ("4*old@1 new@9", "old"),
        ("4*old@1 new@8 new@9?", "old"),
        ("4*old@1 4*new@9?", ""),
        ("old@1 4*new@9", "old"),
        ("4*new@9", ""),
        # one of many is not enough: clients would have to try too often
        ("9*old@1 new@9", ""),
        ("9*old@1 2*new@9", ""),
        ("8*old@1 2*new@9", "old"),
        # the surge of 25 % that Deployments have by default
        ("20*old@1 5*new@9", "old"),
        ("100*old@1 25*new@9", "old"),
        # the newer revision fails: its servers are not ready, or (as before it came) not listed
        ("4*old@1 2*new@9?", ""),
        # a rollback to a revision of which some servers still live
        ("2*first@1 3*second@5", "first"),
        ("2*first@1 3*second@5 first@9?", "second"),
        ("2*first@1 3*second@5 first@9", "second"),
        # three at a time
        ("4*a@1 4*b@5 4*c@9", "a b"),
        ("9*a@1 b@5 2*c@9", "a"),
        ("4*a@1 4*b@5 c@9", "a"),
        ("4*a@1 4*b@5 c@9?", "a"),
        # an old server is replaced: the other way round until the next new one
        ("3*old@1 old@6 2*new@5", "new"),
        ("3*old@1 old@6 2*new@5 new@7", "old"),
        # the same moment
        ("4*a@5 4*b@5", "a"),
    ],
)
def test_who_is_superseded(servers: str, superseded: str) -> None:
    fleet = listed(servers)
    assert {one.revision for one in fleet if is_superseded(one.revision, fleet)} == set(superseded.split())


def test_who_is_not_listed_is_not_superseded() -> None:
    assert not is_superseded("unknown", listed("4*new@9"))


def test_somebody_takes_clients_whatever_is_listed() -> None:
    random.seed(7)
    for _ in range(5_000):
        fleet = [
            Server(random.choice("abcd"), random.randint(0, 6), random.random() < 0.7)
            for _ in range(random.randint(1, 15))
        ]
        ready = [server for server in fleet if server.ready]
        taking = [server for server in ready if not is_superseded(server.revision, fleet)]
        assert len(taking) >= ENOUGH * len(ready)
        assert bool(taking) == bool(ready)


@pytest.mark.parametrize(
    ("servers", "takers"),
    [("", 0), ("4*old@1", 4), ("4*old@1 2*old@2?", 4), ("8*old@1 2*new@9", 2), ("9*old@1 new@9", 10), ("new@9?", 0)],
)
def test_takers_are_ready_and_not_superseded(servers: str, takers: int) -> None:
    assert count_takers(listed(servers)) == takers
