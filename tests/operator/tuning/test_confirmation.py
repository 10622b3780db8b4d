"""A change of figures: written, confirmed by every server, or taken back."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import yaml

from tradecast.config.settings import Settings
from tradecast.runtime_config.manager import compute_revision as servers_revision_of
from tradecast.runtime_config.overrides import extract_runtime_settings, parse_overrides
from tradecast_operator.model.adapter_spec import RedisAdapter, RedisSecret
from tradecast_operator.tuning.confirmation import decide
from tradecast_operator.tuning.redis_limits import RedisFacts, Watched
from tradecast_operator.tuning.rules import Adapter
from tradecast_operator.tuning.state import Decision, Look, Memory, State, content_of, revision_of

SETTINGS = extract_runtime_settings(Settings(redis_url="redis://x"))
RULES = RedisAdapter(apply="figures")
FULL = Watched(facts=RedisFacts(used_memory=9, max_memory=10))
ROUND = 5.0


@dataclass
class Servers:
    """Servers that take what the ConfigMap says after a time, and an operator that looks every five seconds.

    Attributes:
        takes: Seconds after which they have a change in force; inf: never.
    """

    rules: RedisAdapter = RULES
    count: int = 3
    takes: float = 60
    rate: float = 10
    apply: bool = True
    now: float = 1_000_000.0
    state: State | None = None
    memory: Memory = field(default_factory=Memory)
    redis: Watched = field(default_factory=Watched)
    written: list[State] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    silent: Sequence[str] = ()
    changing: bool = False
    waiting: int = 0
    away: float = 0
    refuse: str = ""
    _force: State | None = None

    def servers(self) -> list[Adapter]:
        state = self.state
        if state is not None and self.now - state.changed >= self.takes and not self.refuse:
            self._force = state
        force = parse_overrides(self._force.content.encode() if self._force else b"", SETTINGS)
        figures = force.settings.model_dump()
        one = Adapter(
            pod="a",
            mode="pubsub",
            figures=figures,
            base={name: value for name, value in figures.items() if name not in force.given},
            revision=self._force.revision if self._force else None,
            seen=state.revision if state else None,
            error=self.refuse,
            published=self.rate,
            channels=10,
            waiting=self.waiting,
            away=self.away,
        )
        return [replace(one, pod=name) for name in "abcdefgh"[: self.count] if name not in self.silent]

    def look(self) -> Decision:
        """One round; the figures in force are as the servers have taken them."""
        look = Look(self.now, self.servers(), self.silent, self.changing, connections=100, wanted=2, redis=self.redis)
        decision = decide(look, self.rules, self.state, self.memory, apply=self.apply)
        self.memory = decision.memory
        if decision.state is not None:
            self.state = decision.state
            self.written.append(decision.state)
        self.events += [action.reason for action in decision.actions]
        self.now += ROUND
        return decision

    def wait(self, seconds: float) -> Decision:
        decision = self.look()
        for _ in range(int(seconds / ROUND)):
            decision = self.look()
        return decision


def told(decision: Decision) -> tuple[str, str]:
    return decision.condition.status, decision.condition.reason


def test_the_content_is_yaml_that_servers_take_and_call_by_the_same_name() -> None:
    content = content_of({"publish_batch": 100.0, "batch_window_ms": 2.5, "history_events": 1_000_000})
    assert content == "batch_window_ms: 2.5\nhistory_events: 1000000\npublish_batch: 100\n"
    assert parse_overrides(content.encode(), SETTINGS).settings.publish_batch == 100
    assert (
        revision_of(content)
        == servers_revision_of(content.encode())
        == hashlib.sha256(content.encode()).hexdigest()[:16]
    )
    assert yaml.safe_load(content_of({})) == {}


def test_a_quiet_fleet_is_left_alone() -> None:
    servers = Servers()
    assert told(servers.wait(3_600)) == ("True", "InForce")
    assert servers.written == []
    assert servers.events == []


def test_a_change_is_written_confirmed_watched_and_good() -> None:
    servers = Servers(rate=5_000)
    assert told(servers.look()) == ("False", "Waiting")
    (state,) = servers.written
    assert state.figures.keys() == {"publish_batch", "publish_buffer", "batch_window_ms"}
    assert (state.trying, state.before, state.base["publish_batch"]) == (True, {}, 64)
    assert told(servers.wait(55)) == ("False", "Watching")
    decision = servers.wait(65)
    assert told(decision) == ("True", "InForce")
    assert decision.status == {"recommendedMode": "pubsub", "revision": state.revision}
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
    assert servers.written[-1].figures == {}, "what is as the settings say is left to them"
    servers.wait(200)
    assert servers.events[-1] == "AdapterConfirmed"


def test_a_change_that_is_not_confirmed_in_time_is_taken_back() -> None:
    servers = Servers(rate=5_000, takes=float("inf"))
    servers.wait(170)
    assert servers.events == ["AdapterTuned"]
    decision = servers.wait(20)
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    assert told(decision) == ("False", "TakenBack")
    assert "not in force at a, b, c" in decision.condition.message
    assert servers.written[-1].figures == {}
    servers.wait(1_150)
    assert len(servers.written) == 2
    servers.takes = 0
    servers.wait(150)
    assert servers.events[2:] == ["AdapterTuned", "AdapterConfirmed"]
    assert told(servers.look()) == ("True", "InForce")


def test_a_change_that_one_server_lacks_is_not_confirmed() -> None:
    servers = Servers(rate=5_000, takes=0)
    servers.look()
    servers.silent = ["b"]
    assert told(servers.wait(170)) == ("False", "Waiting")
    assert "b" in servers.wait(20).condition.message
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]


def test_a_server_that_refuses_ends_the_try_at_once() -> None:
    servers = Servers(rate=5_000)
    servers.look()
    servers.refuse = "publish_batch: too many"
    decision = servers.look()
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    assert "publish_batch: too many" in decision.condition.message


@pytest.mark.parametrize("trouble", [{"waiting": 1_500}, {"away": 9}])
def test_a_change_that_does_harm_is_taken_back_and_what_was_before_comes_again(trouble: dict[str, int]) -> None:
    servers = Servers(rate=2_000, takes=5)
    servers.wait(400)
    good = servers.written[-1]
    assert not good.trying
    servers.rate = 6_000
    servers.wait(20)
    assert servers.written[-1].trying
    for name, value in trouble.items():
        setattr(servers, name, value)
    servers.look()
    servers.look()
    assert servers.events[-1] == "AdapterTuned", "not for a moment's trouble"
    servers.look()
    assert servers.events[-1] == "AdapterTakenBack"
    assert servers.written[-1].figures == good.figures
    assert servers.written[-1].base == good.base


def test_trouble_that_was_there_before_is_not_the_changes() -> None:
    servers = Servers(rate=5_000, waiting=5_000, away=60)
    servers.wait(200)
    assert servers.events == ["AdapterTuned", "AdapterConfirmed"]


@pytest.mark.parametrize("seed", range(20))
def test_another_operator_goes_on_from_what_is_written_down(seed: int) -> None:
    draw = random.Random(seed)
    servers = Servers(rate=5_000, takes=draw.choice([20, 100, float("inf")]))
    for _ in range(60):
        if draw.random() < 0.1:
            servers.memory = Memory()
            servers.state = State.read(servers.state.written()) if servers.state else None
        servers.look()
    assert servers.events[0] == "AdapterTuned"
    servers.wait(100)
    assert servers.events[:2] == ["AdapterTuned", "AdapterTakenBack" if servers.takes > 180 else "AdapterConfirmed"]
    assert len(servers.written) == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"figures": 1}', State().written().replace("0", '"x"')])
def test_a_state_that_somebody_has_spoilt_is_none(text: str) -> None:
    assert State.read(text) is None


def test_nothing_changes_without_an_answer_of_every_server() -> None:
    servers = Servers(rate=5_000, silent=["b"])
    assert told(servers.wait(3_600)) == ("Unknown", "ServersSilent")
    servers = Servers(rate=5_000, count=0)
    assert told(servers.wait(3_600)) == ("Unknown", "ServersSilent")
    servers = Servers(rate=5_000, changing=True)
    servers.wait(3_600)
    assert servers.written == []


def test_servers_with_other_settings_are_not_tuned_together() -> None:
    servers = Servers(rate=5_000)
    look = Look(servers.now, servers.servers())
    odd = replace(look.servers[2], figures={**look.servers[2].figures, "publish_batch": 5})
    decision = decide(replace(look, servers=[*look.servers[:2], odd]), RULES, None, Memory(), apply=True)
    assert decision.state is None
    assert told(decision) == ("False", "ServersDiffer")


def test_what_is_only_recommended_is_told_once_and_not_written() -> None:
    servers = Servers(rate=5_000, apply=False)
    decision = servers.wait(3_600)
    assert servers.written == []
    assert servers.events == ["AdapterRecommended"]
    assert told(decision) == ("False", "Recommended")
    assert "publish_batch 250" in decision.condition.message


def test_a_pinned_figure_is_put_into_force_and_let_go_again() -> None:
    servers = Servers(rules=replace(RULES, pinned={"publish_timeout": 3, "history_events": 50}), redis=FULL)
    servers.wait(400)
    assert servers.state is not None
    assert servers.state.figures == {"publish_timeout": 3, "history_events": 50}
    servers.rules, servers.redis = RULES, Watched()
    servers.wait(400)
    assert servers.state.figures == {}
    assert servers.servers()[0].figures == SETTINGS.model_dump()


def test_the_history_is_lowered_step_by_step_while_redis_is_full() -> None:
    servers = Servers(rate=0, redis=FULL)
    servers.wait(305 * 4)
    histories = [state.figures["history_events"] for state in servers.written if state.trying]
    assert histories[:4] == [670, 450, 300, 200]


def test_the_mode_is_only_recommended() -> None:
    servers = Servers(rules=replace(RULES, mode="sharded"))
    decision = servers.wait(3_600)
    assert servers.written == []
    assert servers.events == ["AdapterModeRecommended"]
    assert told(decision) == ("False", "ModeDiffers")
    assert decision.status["recommendedMode"] == "sharded"


def taken_back() -> Servers:
    """Servers that took a change which did harm, and have what was before again."""
    servers = Servers(rate=5_000, takes=5)
    servers.wait(20)
    servers.waiting = 1_500
    servers.wait(10)
    servers.waiting = 0
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    return servers


def test_what_was_taken_back_is_not_tried_again_for_four_times_the_dwell() -> None:
    servers = taken_back()
    servers.wait(1_180)
    assert servers.events == ["AdapterTuned", "AdapterTakenBack"]
    servers.wait(30)
    assert servers.events == ["AdapterTuned", "AdapterTakenBack", "AdapterTuned"]


def test_what_was_taken_back_is_forgotten_once_it_is_not_wanted_any_more() -> None:
    servers = taken_back()
    servers.rate = 10
    assert told(servers.wait(1_180)) == ("False", "TakenBack")
    assert told(servers.wait(40)) == ("True", "InForce")


def test_nothing_new_is_written_while_the_last_content_is_not_in_force_everywhere() -> None:
    servers = Servers(rate=5_000, takes=float("inf"), state=State())
    assert told(servers.wait(3_600)) == ("False", "NotInForce")
    assert servers.written == []


def test_no_other_mode_is_recommended_while_redis_is_silent() -> None:
    rules = replace(RULES, redis_secret=RedisSecret("redis"))
    one = Servers().servers()[0]
    look = Look(1_000_000, [one], connections=50_000, redis=Watched(facts=RedisFacts(cluster=True)))
    decision = decide(look, rules, None, Memory(), apply=False)
    assert decision.status["recommendedMode"] == "sharded"
    later = replace(look, time=look.time + 9_999, redis=Watched())
    assert decide(later, rules, None, decision.memory, apply=False).status["recommendedMode"] == "sharded"
