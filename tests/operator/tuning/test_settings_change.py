"""A change of settings: written, confirmed by every server, or rolled back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from tradecast.config.settings import Settings
from tradecast.runtime_config.overrides import extract_runtime_settings, parse_overrides
from tradecast_operator.model.adapter_spec import RedisAdapter, RedisSecret
from tradecast_operator.tuning.plan import plan_tuning
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.redis_limits import RedisFacts, RedisWatch
from tradecast_operator.tuning.server_adapter import ServerAdapter
from tradecast_operator.tuning.snapshot import Decision, Snapshot, TuningState

SETTINGS = extract_runtime_settings(Settings(redis_url="redis://x"))
RULES = RedisAdapter(apply="figures")
FULL = RedisWatch(facts=RedisFacts(used_memory=9, max_memory=10))
ROUND = 5.0


@dataclass
class Servers:
    """Servers that apply the ConfigMap after a time, and an operator with a round every five seconds.

    Attributes:
        takes: Seconds after which a change is in effect; inf: never.
    """

    rules: RedisAdapter = RULES
    count: int = 3
    takes: float = 60
    rate: float = 10
    apply: bool = True
    now: float = 1_000_000.0
    record: TuningRecord | None = None
    state: TuningState = field(default_factory=TuningState)
    redis: RedisWatch = field(default_factory=RedisWatch)
    written: list[TuningRecord] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    silent: Sequence[str] = ()
    rolling_out: bool = False
    queued: int = 0
    isolated_seconds: float = 0
    refuse: str = ""
    _in_effect: TuningRecord | None = None

    def servers(self) -> list[ServerAdapter]:
        record = self.record
        if record is not None and self.now - record.changed_at >= self.takes and not self.refuse:
            self._in_effect = record
        force = parse_overrides(self._in_effect.content.encode() if self._in_effect else b"", SETTINGS)
        settings = force.settings.model_dump()
        one = ServerAdapter(
            pod="a",
            mode="pubsub",
            settings=settings,
            defaults={name: value for name, value in settings.items() if name not in force.given},
            revision=self._in_effect.revision if self._in_effect else None,
            seen_revision=record.revision if record else None,
            error=self.refuse,
            publish_rate=self.rate,
            channels=10,
            queued=self.queued,
            isolated_seconds=self.isolated_seconds,
        )
        return [replace(one, pod=name) for name in "abcdefgh"[: self.count] if name not in self.silent]

    def run_round(self) -> Decision:
        """One round."""
        snapshot = Snapshot(
            self.now, self.servers(), self.silent, self.rolling_out, connections=100, wanted=2, redis=self.redis
        )
        decision = plan_tuning(snapshot, self.rules, self.record, self.state, apply=self.apply)
        self.state = decision.state
        if decision.record is not None:
            self.record = decision.record
            self.written.append(decision.record)
        self.events += [action.reason for action in decision.actions]
        self.now += ROUND
        return decision

    def wait(self, seconds: float) -> Decision:
        decision = self.run_round()
        for _ in range(int(seconds / ROUND)):
            decision = self.run_round()
        return decision


def told(decision: Decision) -> tuple[str, str]:
    return decision.condition.status, decision.condition.reason


def test_a_quiet_fleet_is_left_alone() -> None:
    servers = Servers()
    assert told(servers.wait(3_600)) == ("True", "InForce")
    assert servers.written == []
    assert servers.events == []


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


def test_a_refusal_ends_the_trial_at_once() -> None:
    servers = Servers(rate=5_000)
    servers.run_round()
    servers.refuse = "publish_batch: too many"
    decision = servers.run_round()
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    assert "publish_batch: too many" in decision.condition.message


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


def test_trouble_that_was_there_before_is_not_the_changes() -> None:
    servers = Servers(rate=5_000, queued=5_000, isolated_seconds=60)
    servers.wait(200)
    assert servers.events == ["AdapterTuned", "AdapterConfirmed"]


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


def test_nothing_changes_without_an_answer_of_every_server() -> None:
    servers = Servers(rate=5_000, silent=["b"])
    assert told(servers.wait(3_600)) == ("Unknown", "ServersSilent")
    servers = Servers(rate=5_000, count=0)
    assert told(servers.wait(3_600)) == ("Unknown", "ServersSilent")
    servers = Servers(rate=5_000, rolling_out=True)
    servers.wait(3_600)
    assert servers.written == []


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


def test_the_mode_is_only_recommended() -> None:
    servers = Servers(rules=replace(RULES, mode="sharded"))
    decision = servers.wait(3_600)
    assert servers.written == []
    assert servers.events == ["AdapterModeRecommended"]
    assert told(decision) == ("False", "ModeDiffers")
    assert decision.status["recommendedMode"] == "sharded"


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


def test_no_other_mode_is_recommended_while_redis_is_silent() -> None:
    rules = replace(RULES, redis_secret=RedisSecret("redis"))
    one = Servers().servers()[0]
    snapshot = Snapshot(1_000_000, [one], connections=50_000, redis=RedisWatch(facts=RedisFacts(cluster=True)))
    decision = plan_tuning(snapshot, rules, None, TuningState(), apply=False)
    assert decision.status["recommendedMode"] == "sharded"
    later = replace(snapshot, time=snapshot.time + 9_999, redis=RedisWatch())
    assert plan_tuning(later, rules, None, decision.state, apply=False).status["recommendedMode"] == "sharded"
