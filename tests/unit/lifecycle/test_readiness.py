"""What probes and the other servers are told of a server."""

from __future__ import annotations

from tradecast.lifecycle.readiness import Readiness
from tradecast.lifecycle.rollout import Rollout


class DrainByHand:
    """As of `DrainState`."""

    active = False


def test_a_server_is_reachable_once_endpoints_have_followed() -> None:
    drain = DrainByHand()
    at_once, later = Readiness(drain, Rollout(), 0), Readiness(drain, Rollout(), 3600)
    assert (at_once.state(), later.state()) == ("starting", "starting")
    for readiness in (at_once, later):
        readiness.start_listening()
    assert (at_once.state(), later.state()) == ("ready", "starting")


def test_a_drain_takes_readiness_away_and_its_end_gives_it_back() -> None:
    drain = DrainByHand()
    readiness = Readiness(drain, Rollout(), 0)
    readiness.start_listening()
    assert (readiness.is_ready(), readiness.state()) == (True, "ready")
    drain.active = True
    assert (readiness.is_ready(), readiness.state()) == (False, "leaving")
    drain.active = False
    assert (readiness.is_ready(), readiness.state()) == (True, "ready")


def test_a_superseded_server_stays_ready() -> None:
    rollout = Rollout()
    readiness = Readiness(DrainByHand(), rollout, 0)
    assert not readiness.is_superseded()
    rollout.superseded = True
    assert (readiness.is_superseded(), readiness.is_ready()) == (True, True)
