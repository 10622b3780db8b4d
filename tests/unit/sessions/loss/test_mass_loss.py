from __future__ import annotations

import pytest

from kit.clock import HandClock
from tradecast.sessions.loss.mass_loss import LONGEST, MassLoss, find_lost


def ids(count: int, start: int = 0) -> list[str]:
    return [f"s{number}" for number in range(start, start + count)]


@pytest.mark.parametrize(
    ("gone", "active", "lost"),
    [
        (20, 20, True),
        (19, 20, True),
        (18, 20, True),  # exactly 90 %
        (17, 20, False),
        (19, 19, False),  # too few to tell
        (0, 20, False),
        (1, 1, False),
        (90, 100, True),
        (89, 100, False),
        (900, 1_000, True),
        (899, 1_000, False),
        (27, 30, True),
        (18, 21, False),  # 85.7 %
        (19, 21, True),  # 90.5 %
    ],
)
def test_nearly_all_of_many_at_another_instance(gone: int, active: int, lost: bool) -> None:
    everybody = ids(active)
    homes = dict.fromkeys(everybody, "one")
    assert find_lost(homes, lambda _: "two", ids(gone), everybody) == (set(ids(gone)) if lost else set())
    assert find_lost(homes, lambda _: "one", ids(gone), everybody) == set(), "the same instance: they are logged out"


@pytest.mark.parametrize(("before", "after"), [("", "two"), ("one", ""), ("", "")])
def test_an_instance_that_is_not_known_proves_nothing(before: str, after: str) -> None:
    everybody = ids(50)
    assert find_lost(dict.fromkeys(everybody, before), lambda _: after, everybody, everybody) == set()
    assert find_lost({}, lambda _: after, everybody, everybody) == set()


def test_one_instance_of_a_cluster() -> None:
    """A third of the sessions are gone, all that one of three instances had."""
    everybody = ids(90)
    homes = {one: f"master {number % 3}" for number, one in enumerate(everybody)}
    third = [one for one in everybody if homes[one] == "master 1"]

    def now(session_id: str) -> str:
        return "replica" if homes[session_id] == "master 1" else homes[session_id]

    assert find_lost(homes, now, third, everybody) == set(third)
    assert find_lost(homes, now, third[:26], everybody) == set()
    # Of those that the other instances have, somebody has logged out at the same look.
    assert find_lost(homes, now, [*third, "s0"], everybody) == set(third)


def test_several_instances_that_have_few_each() -> None:
    everybody = ids(24)
    homes = {one: f"master {number % 6}" for number, one in enumerate(everybody)}
    assert find_lost(homes, lambda one: homes[one] + " anew", everybody, everybody) == set(everybody)


def test_a_slot_that_moves_loses_nothing() -> None:
    everybody = ids(100)
    homes = dict.fromkeys(everybody, "a")
    assert find_lost(homes, lambda one: "b", ["s1"], everybody) == set()


def test_it_ends_however_often_it_happens() -> None:
    clock = HandClock()
    loss = MassLoss(clock=clock)
    loss.begin(["a", "b"])
    assert loss.keep(["a", "b"]) == {"a", "b"}
    clock.now += LONGEST - 1
    loss.begin(["c"])
    assert loss.keep(["a", "b", "c"]) == {"a", "b", "c"}
    clock.now += 1
    assert not loss.active
    assert loss.keep(["a", "b", "c"]) == set()


def test_who_has_been_seen_again_is_like_any_other() -> None:
    loss = MassLoss(clock=HandClock())
    loss.begin(["a", "b"])
    assert loss.keep(["b", "x"]) == {"b"}, "x was not lost: it has ended"
    assert loss.keep(["a", "b"]) == {"b"}
    loss.end()
    assert not loss.active
    assert loss.keep(["b"]) == set()


def test_another_server_knows_since_when() -> None:
    clock = HandClock()
    loss = MassLoss(clock=clock)
    loss.begin([], clock.now + 10)
    clock.now += 10
    assert not loss.active
