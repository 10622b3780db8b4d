"""What the tuning of one round decides by."""

from __future__ import annotations

from kit.kubernetes.tuned_servers import Servers


def test_a_refusal_ends_the_trial_at_once() -> None:
    servers = Servers(rate=5_000)
    servers.run_round()
    servers.refuse = "publish_batch: too many"
    decision = servers.run_round()
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    assert "publish_batch: too many" in decision.condition.message


def test_trouble_that_was_there_before_is_not_the_changes() -> None:
    servers = Servers(rate=5_000, queued=5_000, isolated_seconds=60)
    servers.wait(200)
    assert servers.events == ["AdapterTuned", "AdapterConfirmed"]
