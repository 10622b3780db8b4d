"""The tuning from round to round: what it decides of an adapter as it is."""

from __future__ import annotations

import random

import pytest

from kit.kubernetes.tuned_servers import Servers, told
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.snapshot import TuningState


def test_a_quiet_fleet_is_left_alone() -> None:
    servers = Servers()
    assert told(servers.wait(3_600)) == ("True", "InForce")
    assert servers.written == []
    assert servers.events == []


@pytest.mark.parametrize("seed", range(20))
def test_another_operator_continues_from_the_record(seed: int) -> None:
    draw = random.Random(seed)
    servers = Servers(rate=5_000, takes=draw.choice([20, 100, float("inf")]))
    for _ in range(60):
        if draw.random() < 0.1:
            servers.state = TuningState()
            servers.record = TuningRecord.parse(servers.record.dump()) if servers.record else None
        servers.run_round()
    assert servers.events[0] == "AdapterTuned"
    servers.wait(100)
    assert servers.events[:2] == ["AdapterTuned", "AdapterTakenBack" if servers.takes > 180 else "AdapterConfirmed"]
    assert len(servers.written) == 2
