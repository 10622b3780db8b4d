"""A change of settings: written, confirmed by every server, or rolled back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.kubernetes.tuned_servers import FULL, RULES, SETTINGS, Servers, told
from tradecast_operator.tuning.plan import plan_tuning
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.redis_limits import RedisWatch
from tradecast_operator.tuning.snapshot import Snapshot, TuningState


def test_a_change_is_written_confirmed_watched_and_good() -> None:
    servers = Servers(rate=5_000)
    assert told(servers.run_round()) == ("False", "Waiting")
    (record,) = servers.written
    assert record.settings.keys() == {"publish_batch", "publish_buffer", "batch_window_ms"}
    assert (record.on_trial, record.previous, record.defaults["publish_batch"]) == (True, {}, 64)
    assert told(servers.wait(55)) == ("False", "Watching")
    decision = servers.wait(65)
    assert told(decision) == ("True", "InForce")
    assert decision.status == {"recommendedMode": "pubsub", "revision": record.revision}
    assert servers.events == ["AdapterTuned", "AdapterConfirmed"]
    servers.wait(3_600)
    assert len(servers.written) == 2, "written, and marked as good"


def test_the_next_change_waits_for_the_dwell() -> None:
    servers = Servers(rate=5_000)
    servers.wait(200)
    servers.rate = 10
    servers.wait(80)
    assert servers.events == ["AdapterTuned", "AdapterConfirmed"]
    servers.wait(30)
    assert servers.events == ["AdapterTuned", "AdapterConfirmed", "AdapterTuned"]
    assert servers.written[-1].settings == {}, "what is as the settings say is left to them"
    servers.wait(200)
    assert servers.events[-1] == "AdapterConfirmed"


def test_a_change_that_is_not_confirmed_in_time_is_rolled_back() -> None:
    servers = Servers(rate=5_000, takes=float("inf"))
    servers.wait(170)
    assert servers.events == ["AdapterTuned"]
    decision = servers.wait(20)
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    assert told(decision) == ("False", "TakenBack")
    assert "not in effect at a, b, c" in decision.condition.message
    assert servers.written[-1].settings == {}
    servers.wait(1_150)
    assert len(servers.written) == 2
    servers.takes = 0
    servers.wait(150)
    assert servers.events[2:] == ["AdapterTuned", "AdapterConfirmed"]
    assert told(servers.run_round()) == ("True", "InForce")


def test_a_change_that_one_server_lacks_is_not_confirmed() -> None:
    servers = Servers(rate=5_000, takes=0)
    servers.run_round()
    servers.silent = ["b"]
    assert told(servers.wait(170)) == ("False", "Waiting")
    assert "b" in servers.wait(20).condition.message
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]


@pytest.mark.parametrize("trouble", [{"queued": 1_500}, {"isolated_seconds": 9}])
def test_a_change_that_does_harm_is_rolled_back_and_what_was_before_comes_again(trouble: dict[str, int]) -> None:
    servers = Servers(rate=2_000, takes=5)
    servers.wait(400)
    good = servers.written[-1]
    assert not good.on_trial
    servers.rate = 6_000
    servers.wait(20)
    assert servers.written[-1].on_trial
    for name, value in trouble.items():
        setattr(servers, name, value)
    servers.run_round()
    servers.run_round()
    assert servers.events[-1] == "AdapterTuned", "not for a moment's trouble"
    servers.run_round()
    assert servers.events[-1] == "AdapterTakenBack"
    assert servers.written[-1].settings == good.settings
    assert servers.written[-1].defaults == good.defaults


def test_servers_with_other_settings_are_not_tuned_together() -> None:
    servers = Servers(rate=5_000)
    snapshot = Snapshot(servers.now, servers.servers())
    odd = replace(snapshot.servers[2], settings={**snapshot.servers[2].settings, "publish_batch": 5})
    decision = plan_tuning(
        replace(snapshot, servers=[*snapshot.servers[:2], odd]), RULES, None, TuningState(), apply=True
    )
    assert decision.record is None
    assert told(decision) == ("False", "ServersDiffer")


def test_what_is_only_recommended_is_reported_once_and_not_written() -> None:
    servers = Servers(rate=5_000, apply=False)
    decision = servers.wait(3_600)
    assert servers.written == []
    assert servers.events == ["AdapterRecommended"]
    assert told(decision) == ("False", "Recommended")
    assert "publish_batch 250" in decision.condition.message


def test_a_pinned_setting_takes_effect_and_is_released_again() -> None:
    servers = Servers(rules=replace(RULES, pinned={"publish_timeout": 3, "history_events": 50}), redis=FULL)
    servers.wait(400)
    assert servers.record is not None
    assert servers.record.settings == {"publish_timeout": 3, "history_events": 50}
    servers.rules, servers.redis = RULES, RedisWatch()
    servers.wait(400)
    assert servers.record.settings == {}
    assert servers.servers()[0].settings == SETTINGS.model_dump()


def test_the_history_is_lowered_step_by_step_while_redis_is_full() -> None:
    servers = Servers(rate=0, redis=FULL)
    servers.wait(305 * 4)
    histories = [record.settings["history_events"] for record in servers.written if record.on_trial]
    assert histories[:4] == [670, 450, 300, 200]


def rolled_back() -> Servers:
    """Servers that took a change which did harm, and have what was before again."""
    servers = Servers(rate=5_000, takes=5)
    servers.wait(20)
    servers.queued = 1_500
    servers.wait(10)
    servers.queued = 0
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    return servers


def test_what_was_rolled_back_is_not_tried_again_for_four_times_the_dwell() -> None:
    servers = rolled_back()
    servers.wait(1_180)
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    servers.wait(30)
    assert servers.events == ["AdapterTuned", "AdapterTakenBack", "AdapterTuned"]


def test_what_was_rolled_back_is_forgotten_once_it_is_not_wanted_any_more() -> None:
    servers = rolled_back()
    servers.rate = 10
    assert told(servers.wait(1_180)) == ("False", "TakenBack")
    assert told(servers.wait(40)) == ("True", "InForce")


def test_nothing_new_is_written_while_the_last_content_is_not_in_effect_everywhere() -> None:
    servers = Servers(rate=5_000, takes=float("inf"), record=TuningRecord())
    assert told(servers.wait(3_600)) == ("False", "NotInForce")
    assert servers.written == []
