"""How fast clients that a drain disconnects are let in elsewhere."""

from __future__ import annotations

from tradecast.lifecycle.draining.receivers import FleetReceivers
from tradecast.lifecycle.rollout import Rollout


class Fleet:
    """As of `Fleet`."""

    servers = 5


def test_each_of_the_others_takes_as_many() -> None:
    fleet, rollout = Fleet(), Rollout()
    receivers = FleetReceivers(fleet, rollout, 500)
    assert receivers.compute_accept_rate() == 2_000
    fleet.servers = 1
    assert receivers.compute_accept_rate() == 500, "new servers are to come"
    rollout.takers = 3
    assert receivers.compute_accept_rate() == 1_500, "those that say so themselves"
    rollout.takers = 0
    assert receivers.compute_accept_rate() == 500
