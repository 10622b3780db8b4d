"""A change of mode: events to both Redis, rolled, and to one again; or rolled back."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from kit.kubernetes.socket_fleets import NOW
from tradecast.config.settings import Settings
from tradecast.runtime_config.overrides import extract_runtime_settings, parse_overrides
from tradecast_operator.model.adapter_spec import PUBLISH_BOTH, Mode, RedisAdapter, RedisSecret
from tradecast_operator.tuning.plan import plan_tuning
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.redis_limits import RedisWatch
from tradecast_operator.tuning.server_adapter import ServerAdapter
from tradecast_operator.tuning.snapshot import Decision, Snapshot, TuningState

SETTINGS = extract_runtime_settings(Settings(redis_url="redis://x"))
RULES = RedisAdapter(mode="sharded", apply="roll")
ALL = ("single", "pubsub", "sharded")
ROUND = 5.0


@dataclass
class Server:
    """A pod with its server.

    Attributes:
        mode: The mode that its process has begun in.
        content: The figures' text that it has in force.
        template: The annotation of the pod template that it is of.
        ready_at: Not in service before.
        ends_at: It is being deleted, and gone then; None: it is not.
        silent: Whether it does not answer.
    """

    name: str
    mode: Mode
    content: str | None
    template: str
    ready_at: float
    ends_at: float | None = None
    silent: bool = False


@dataclass
class World:
    """A Deployment and its controller, servers that watch a ConfigMap, and an operator that looks every five seconds.

    Attributes:
        auto: The mode of servers that are told none.
        takes: Seconds after which servers have a change of the ConfigMap in force; inf: never.
        starts: Seconds until a new pod is in service; inf: never.
        drains: Seconds for which a deleted pod goes on.
        fails: Events per second that each server's other Redis does not take.
        deadline: Seconds after which a rollout that does not get on is told to be stuck.
    """

    rules: RedisAdapter = RULES
    count: int = 3
    wanted: int | None = None
    auto: Mode = "pubsub"
    modes: tuple[str, ...] = ALL
    takes: float = 60
    starts: float = 20
    drains: float = 60
    deadline: float = 600
    connections: int = 100
    busy: str = ""
    other_redis_up: bool | None = True
    fails: float = 0
    rollout_too_fast: str = ""
    redis: RedisWatch = field(default_factory=RedisWatch)
    refuse: str = ""
    reads_mode: bool = True
    apply: bool = True
    now: float = NOW
    mark: str = ""
    record: TuningRecord | None = None
    state: TuningState = field(default_factory=TuningState)
    pods: list[Server] = field(default_factory=list)
    written: list[TuningRecord] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _changed: float = 0.0
    _rolled: float = 0.0
    _made: int = 0

    def __post_init__(self) -> None:
        for _ in range(self.count):
            self.make(ready_at=0)

    # What Kubernetes does.

    @property
    def key(self) -> Mode:
        return self.record.mode if self.record is not None and self.record.mode else self.auto  # type: ignore[return-value]

    @property
    def content(self) -> str | None:
        return self.record.content if self.record is not None else None

    def make(self, ready_at: float) -> None:
        self._made += 1
        content = self.content if not self.refuse else None
        self.pods.append(Server(f"s{self._made}", self.key, content, self.mark, ready_at))

    def restart(self, server: Server) -> None:
        """Its container begins anew, with what is told by now."""
        server.mode, server.ready_at = self.key, self.now + ROUND
        server.content = self.content

    @property
    def alive(self) -> list[Server]:
        return [one for one in self.pods if one.ends_at is None]

    @property
    def ready(self) -> list[Server]:
        return [one for one in self.alive if one.ready_at <= self.now]

    @property
    def rolling(self) -> bool:
        return any(one.template != self.mark for one in self.alive)

    def step(self) -> None:
        """What the controllers do in a moment."""
        self.pods = [one for one in self.pods if one.ends_at is None or one.ends_at > self.now]
        new = [one for one in self.alive if one.template == self.mark]
        for _ in range(self.count - len(new)):
            self.make(self.now + self.starts)
        up = [one for one in self.ready if one.template == self.mark]
        if len(up) >= self.count:
            for one in self.alive:
                if one.template != self.mark:
                    one.ends_at = self.now + self.drains
        if self.now - self._changed >= self.takes and not self.refuse:
            for one in self.pods:
                one.content = self.content

    # What the operator does.

    def said(self, server: Server) -> ServerAdapter:
        reading = parse_overrides((server.content or "").encode(), SETTINGS)
        settings = reading.settings.model_dump()
        text = (
            None if server.content is None else TuningRecord(settings={k: settings[k] for k in reading.given}).revision
        )
        return ServerAdapter(
            pod=server.name,
            mode=server.mode,
            settings=settings,
            defaults={name: value for name, value in settings.items() if name not in reading.given},
            revision=text,
            seen_revision=self.record.revision if self.record else None,
            error=self.refuse,
            modes=self.modes,
            other_redis_up=self.other_redis_up,
            other_redis_failed=5 + int(self.fails * (self.now - NOW)) if settings[PUBLISH_BOTH] else 5,
        )

    def run_round(self) -> Decision:
        """One round."""
        self.step()
        outside = {one.name: None if one.silent else one.mode for one in self.pods if one not in self.ready}
        snapshot = Snapshot(
            self.now,
            [self.said(one) for one in self.ready if not one.silent],
            [one.name for one in self.ready if one.silent],
            self.rolling,
            connections=self.connections,
            wanted=self.wanted or self.count,
            rollout_stalled=self.rolling and self.now - self._rolled >= self.deadline,
            out_of_service=outside,
            busy=self.busy or ("a rollout is under way" if self.rolling or outside else ""),
            rollout_too_fast=self.rollout_too_fast,
            redis=self.redis,
            template_mark=self.mark,
            reads_mode=self.reads_mode,
        )
        decision = plan_tuning(snapshot, self.rules, self.record, self.state, apply=self.apply)
        self.state = decision.state
        if decision.record is not None:
            self.record, self._changed = decision.record, self.now
            self.written.append(decision.record)
        elif decision.mark is not None:
            self.mark, self._rolled = decision.mark, self.now
            self.marks.append(decision.mark)
        self.events += [(action.reason, action.message) for action in decision.actions]
        self.step()
        self.check()
        self.now += ROUND
        return decision

    def check(self) -> None:
        """Where servers of two modes are, all of them publish to both Redis."""
        serving = [one for one in self.pods if one.ends_at is not None or one.ready_at <= self.now]
        if len({one.mode for one in serving}) < 2 or "single" in {one.mode for one in serving}:
            return
        isolated = [one.name for one in serving if self.said(one).settings[PUBLISH_BOTH] != 1]
        if isolated:
            self.broken.append(f"at {self.now - NOW:.0f} s {isolated} publish to one Redis")

    def wait(self, seconds: float) -> Decision:
        decision = self.run_round()
        for _ in range(int(seconds / ROUND)):
            decision = self.run_round()
        return decision

    def until(self, done: Callable[[Decision], bool], within: float = 7_200) -> Decision:
        for _ in range(int(within / ROUND)):
            decision = self.run_round()
            if done(decision):
                return decision
        raise AssertionError(f"not within {within} s: {decision.condition}")

    def lose(self) -> None:
        """Somebody removes the ConfigMap, and the operator starts anew."""
        self.record, self.state = None, TuningState()

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.events]

    @property
    def in_modes(self) -> set[Mode]:
        return {one.mode for one in self.pods}


def is_over(decision: Decision) -> bool:
    return decision.condition.reason != "ModeRolling"


def step_of(world: World) -> str:
    return world.record.change.step if world.record is not None and world.record.change is not None else ""


def until_step(world: World, step: str) -> None:
    world.until(lambda _: step_of(world) == step)


def test_the_fleet_is_rolled_onto_the_mode_that_is_asked_for() -> None:
    world = World()
    decision = world.run_round()
    assert decision.condition.reason == "ModeRolling"
    assert world.record is not None
    assert (world.record.settings, world.record.mode, world.mark) == ({PUBLISH_BOTH: 1}, "", "")
    until_step(world, "roll")
    assert (world.record.mode, world.mark, world.in_modes) == ("sharded", "", {"pubsub"})
    until_step(world, "off")
    assert (world.record.settings, world.in_modes, world.mark) == ({}, {"sharded"}, "sharded")
    decision = world.until(is_over)
    assert decision.condition.status == "True"
    assert world.record.change is None
    assert world.broken == []
    assert world.reasons == ["AdapterModeRecommended", *["AdapterModeRolling"] * 3, "AdapterModeRolled"]
    assert world.marks == ["sharded"]
    assert world.wait(3_600).condition.reason == "InForce"
    assert world.marks == ["sharded"]


def test_each_step_is_reported_with_its_figures() -> None:
    world = World()
    world.run_round()
    world.until(is_over)
    revision = TuningRecord(settings={PUBLISH_BOTH: 1}).revision
    told = [message for reason, message in world.events if reason.startswith("AdapterModeRoll")]
    assert told[0] == (
        "mode pubsub → sharded: the SocketFleet asks for it; first, servers publish events to both Redis "
        f"(revision {revision})"
    )
    assert told[1] == (
        "mode pubsub → sharded: all 3 servers publish to both Redis; the Deployment of 3 servers is rolled"
    )
    assert told[2].startswith("mode pubsub → sharded: all 3 servers are in sharded; they publish to its Redis only")
    assert told[3].startswith("mode pubsub → sharded: complete at all 3 servers, after ")


def test_nothing_is_rolled_before_every_server_publishes_to_both() -> None:
    world = World(takes=170)
    world.wait(165)
    assert step_of(world) == "both"
    until_step(world, "roll")
    assert all(world.said(one).settings[PUBLISH_BOTH] == 1 for one in world.pods)
    assert world.now - NOW > 170 + 20


def test_events_go_to_both_until_the_last_server_of_the_old_mode_is_gone() -> None:
    world = World(drains=600)
    until_step(world, "roll")
    world.until(lambda _: {one.mode for one in world.ready} == {"sharded"})
    world.wait(300)
    assert step_of(world) == "roll"
    until_step(world, "off")
    assert world.in_modes == {"sharded"}


def test_an_old_server_that_does_not_end_and_does_not_answer_is_waited_for_no_longer_than_the_limit() -> None:
    world = World(drains=10_000)
    until_step(world, "roll")
    world.until(lambda _: {one.mode for one in world.ready} == {"sharded"})
    for one in world.pods:
        one.silent = one.mode == "pubsub"
    began = world.record.change.since if world.record and world.record.change else 0
    until_step(world, "off")
    assert world.now - began > RULES.roll
    assert "AdapterTakenBack" not in world.reasons


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"modes": ("single", "pubsub")}, "s1 has no Redis for sharded"),
        ({"modes": ()}, "does not report its possible modes"),
        ({"busy": "s1 is draining"}, "s1 is draining"),
        ({"rollout_too_fast": "the servers hold 9 clients"}, "the servers hold 9 clients"),
        ({"other_redis_up": False}, "the Redis of sharded does not answer at s1"),
        ({"other_redis_up": None}, "the Redis of sharded does not answer at s1"),
        ({"reads_mode": False}, "does not take ADAPTER_MODE"),
        ({"rules": replace(RULES, pinned={PUBLISH_BOTH: 0})}, "publish_both is pinned to 0"),
        ({"rules": replace(RULES, mode="single")}, "3 servers are wanted"),
    ],
)
def test_it_is_not_begun_where_it_cannot_succeed_and_the_condition_says_why(
    fields: dict[str, object], says: str
) -> None:
    world = World(**fields)  # type: ignore[arg-type]
    decision = world.wait(1_200)
    assert says in decision.condition.message
    assert (decision.condition.reason, world.marks, step_of(world)) == ("ModeDiffers", [], "")


def test_it_is_not_begun_while_servers_are_in_several_modes_or_silent() -> None:
    world = World()
    world.pods[1].silent = True
    assert world.wait(600).condition.reason == "ServersSilent"
    world.pods[1].silent = False
    world.pods[1].mode = "sharded"
    assert world.wait(600).condition.reason in ("ServersDiffer", "ModeDiffers")
    assert world.written == []


def test_it_is_not_begun_while_figures_are_tried_or_shortly_after() -> None:
    world = World(rules=replace(RULES, mode="auto", pinned={"publish_batch": 7}))
    world.run_round()
    assert world.record is not None
    assert world.record.on_trial
    world.rules = replace(world.rules, mode="sharded")
    world.until(lambda _: world.record is not None and not world.record.on_trial)
    assert step_of(world) == ""
    until_step(world, "both")
    assert world.now - NOW >= RULES.dwell
    assert world.record.settings == {"publish_batch": 7, PUBLISH_BOTH: 1}
    world.until(is_over)
    assert world.record.settings == {"publish_batch": 7}
    assert world.broken == []


@pytest.mark.parametrize("apply", ["recommend", "figures"])
def test_without_roll_it_is_only_recommended(apply: str) -> None:
    world = World(rules=replace(RULES, apply=apply), apply=apply == "figures")  # type: ignore[arg-type]
    assert world.wait(3_600).condition.reason == "ModeDiffers"
    assert (world.marks, world.written) == ([], [])


def test_a_change_that_is_under_way_ends_though_only_figures_are_asked_for_by_then() -> None:
    world = World()
    until_step(world, "roll")
    world.rules = replace(RULES, apply="figures")
    world.until(is_over)
    assert world.in_modes == {"sharded"}


# Taken back


def test_what_a_server_refuses_is_rolled_back_before_anything_is_rolled() -> None:
    world = World()
    world.run_round()
    world.refuse = "publish_both: there is no other Redis"
    decision = world.until(is_over)
    assert decision.condition.reason == "TakenBack"
    assert world.record is not None
    assert (world.record.settings, world.record.mode, world.marks) == ({}, "", [])
    assert world.events[-1][0] == "AdapterTakenBack"
    assert "s1 refuses it: publish_both: there is no other Redis" in world.events[-1][1]
    world.refuse = ""
    world.wait(RULES.dwell * 4 - 10)
    assert step_of(world) == ""
    until_step(world, "both")


def test_a_server_that_does_not_publish_to_both_in_time_ends_it() -> None:
    world = World(takes=float("inf"))
    world.until(is_over)
    assert world.now - NOW > RULES.confirm
    assert world.events[-1][1].endswith("is not in effect at s1, s2, s3; no other change starts for 1200 s")
    assert world.marks == []


def test_an_earlier_version_that_confirms_the_revision_and_ignores_the_figure_is_not_rolled() -> None:
    world = World()
    said = world.said

    def older(server: Server) -> ServerAdapter:
        return replace(said(server), settings={**said(server).settings, PUBLISH_BOTH: 0})

    world.said = older  # type: ignore[method-assign]
    world.until(is_over)
    assert world.events[-1][0] == "AdapterTakenBack"
    assert world.marks == []


def test_a_redis_that_goes_away_before_the_rollout_ends_it() -> None:
    world = World()
    world.run_round()
    world.other_redis_up = False
    world.until(is_over, within=60)
    assert "the Redis of sharded does not answer at s1" in world.events[-1][1]


def test_a_redis_that_answers_and_takes_no_events_ends_it_before_the_rollout() -> None:
    world = World(takes=0, fails=0.5)
    world.until(lambda _: "AdapterTakenBack" in world.reasons)
    assert "the Redis of sharded has not accepted 8 events of s1" in dict(world.events)["AdapterTakenBack"]
    assert world.marks == []


def test_it_is_watched_for_as_long_as_it_takes_to_see_what_is_not_taken() -> None:
    world = World(takes=0, rules=replace(RULES, mode="pubsub", pinned={"publish_timeout": 90}))
    world.until(lambda _: "AdapterConfirmed" in world.reasons)
    world.rules = replace(world.rules, mode="sharded")
    until_step(world, "both")
    began = world.now
    until_step(world, "roll")
    assert world.now - began >= 180


def test_what_it_did_not_take_before_does_not_matter() -> None:
    world = World(takes=0)
    world.until(lambda _: "AdapterModeRolled" in world.reasons)
    assert "AdapterTakenBack" not in world.reasons


def test_a_rollout_that_does_not_get_on_is_rolled_back() -> None:
    world = World(starts=float("inf"))
    until_step(world, "back")
    assert "ProgressDeadlineExceeded" in world.events[-1][1]
    assert "0 of 3 servers in service are in sharded" in world.events[-1][1]
    world.starts = 20
    decision = world.until(is_over)
    assert decision.condition.reason == "TakenBack"
    assert world.record is not None
    assert (world.in_modes, world.record.settings, world.record.mode, world.mark) == ({"pubsub"}, {}, "", "")
    assert world.marks == ["sharded", ""]
    assert world.reasons.count("AdapterTakenBack") == 1
    assert world.broken == []
    assert world.record.no_change_before == pytest.approx(world.now - ROUND + RULES.dwell * 4)


def test_a_rollout_that_takes_too_long_is_rolled_back() -> None:
    world = World(starts=float("inf"), deadline=float("inf"))
    until_step(world, "back")
    assert "after 1805 s not every server is in sharded" in world.events[-1][1]


def test_one_who_asks_for_the_old_mode_meanwhile_gets_it() -> None:
    for step in ("both", "roll"):
        world = World(starts=60)
        until_step(world, step)
        world.wait(15)
        world.rules = replace(RULES, mode="pubsub")
        world.until(is_over)
        assert world.in_modes == {"pubsub"}
        assert world.broken == []


def test_a_server_that_took_the_new_mode_early_is_rolled_back_as_well() -> None:
    """Its pod is of the old template, so that nothing else brings it back."""
    world = World(starts=float("inf"), takes=10)
    until_step(world, "roll")
    world.restart(world.pods[0])
    until_step(world, "back")
    world.starts = 20
    world.until(is_over)
    assert world.in_modes == {"pubsub"}
    assert world.marks == ["sharded", "", "pubsub"]
    assert world.broken == []


def test_pods_that_were_made_before_their_node_heard_of_the_mode_are_rolled_once_more() -> None:
    world = World()
    until_step(world, "roll")
    make = world.make

    def late(ready_at: float) -> None:
        make(ready_at)
        world.pods[-1].mode = "pubsub"

    world.make = late  # type: ignore[method-assign]
    world.until(lambda _: bool(world.marks))
    world.wait(25)
    world.make = make  # type: ignore[method-assign]
    world.until(is_over)
    assert world.marks == ["sharded", "sharded.2"]
    assert world.in_modes == {"sharded"}
    assert world.broken == []


def test_it_goes_there_and_back_and_there_again() -> None:
    world = World()
    for mode in ("sharded", "pubsub", "sharded"):
        world.rules = replace(RULES, mode=mode)
        world.until(lambda _, mode=mode: world.in_modes == {mode} and not step_of(world))  # type: ignore[misc]
    assert world.marks == ["sharded", "pubsub", "sharded"]
    assert world.broken == []


def test_the_deployment_is_rolled_once_nodes_have_had_time_to_read_the_mode() -> None:
    world = World()
    until_step(world, "roll")
    world.now -= ROUND - 1
    world.run_round()
    assert world.marks == []
    world.run_round()
    assert world.marks == ["sharded"]


def test_a_server_that_is_back_in_the_old_mode_at_the_end_has_all_publish_to_both_again() -> None:
    world = World()
    until_step(world, "off")
    world.pods[0].mode = "pubsub"
    world.run_round()
    assert world.record is not None
    assert (step_of(world), world.record.settings) == ("roll", {PUBLISH_BOTH: 1})
    world.until(is_over)
    assert world.in_modes == {"sharded"}
    assert world.marks == ["sharded", "sharded.2"]


# From single and to it


def test_from_single_it_is_rolled_at_once_without_both() -> None:
    world = World(count=1, auto="single", other_redis_up=None, wanted=3, rules=replace(RULES, mode="auto"))
    until_step(world, "roll")
    assert world.now - NOW < RULES.dwell, "no servers are added meanwhile"
    assert world.record is not None
    assert (world.record.settings, world.record.mode) == ({}, "pubsub")
    world.until(is_over)
    assert world.in_modes == {"pubsub"}


def test_one_in_single_is_rolled_however_many_clients_it_has() -> None:
    """Else it would neither be rolled nor joined by others."""
    world = World(
        count=1, auto="single", wanted=3, rules=replace(RULES, mode="auto"), rollout_too_fast="it holds 9 clients"
    )
    until_step(world, "roll")
    assert world.events[-1][1].endswith("it holds 9 clients; the Deployment of 1 servers is rolled")


def test_one_in_single_that_could_not_be_rolled_is_rolled_again_soon() -> None:
    world = World(count=1, auto="single", wanted=3, rules=replace(RULES, mode="auto"), starts=float("inf"))
    world.until(lambda _: "AdapterTakenBack" in world.reasons)
    world.until(lambda _: step_of(world) == "")
    began = world.now
    until_step(world, "roll")
    assert RULES.dwell - ROUND <= world.now - began <= RULES.dwell + 2 * ROUND


def test_one_in_single_is_not_kept_alone_for_the_dwell() -> None:
    world = World(count=1, auto="single", wanted=1, rules=replace(RULES, mode="auto"))
    world.run_round()
    assert world.state.recommended_mode == "single"
    world.wanted = 3
    until_step(world, "roll")
    assert world.now - NOW < RULES.dwell


def test_once_all_in_service_are_in_the_new_mode_it_is_not_rolled_back_for_one_that_ends_slowly() -> None:
    """From single there may be many by then, which would not hear each other any more."""
    world = World(count=1, auto="single", wanted=3, drains=2 * RULES.roll, rules=replace(RULES, mode="auto"))
    world.until(is_over)
    world.until(lambda _: world.in_modes == {"pubsub"})
    world.until(lambda _: not step_of(world))
    assert "AdapterTakenBack" not in world.reasons


@pytest.mark.parametrize("has", ["pubsub", "sharded"])
def test_one_in_single_takes_the_redis_that_it_has(has: str) -> None:
    rules = replace(RULES, mode="auto")
    world = World(count=1, auto="single", wanted=3, connections=20_000, rules=rules, modes=("single", has))
    world.redis = replace(world.redis, limits=("PubSub",))
    world.until(lambda _: world.in_modes == {has} and not step_of(world))


def test_while_redis_does_not_answer_no_mode_is_recommended_and_that_is_reported() -> None:
    rules = replace(RULES, mode="auto", redis_secret=RedisSecret("redis"))
    decision = World(count=1, auto="single", wanted=3, rules=rules).wait(1_200)
    assert (decision.condition.status, decision.condition.reason) == ("Unknown", "NotRecommended")
    assert "the operator has no answer from Redis yet" in decision.condition.message


def test_auto_never_rolls_onto_single() -> None:
    world = World(count=1, rules=replace(RULES, mode="auto"))
    decision = world.wait(3_600)
    assert decision.condition.reason == "ModeDiffers"
    assert "mode auto never rolls onto single" in decision.condition.message
    assert world.marks == []


def test_one_who_asks_for_single_gets_it() -> None:
    world = World(count=1, rules=replace(RULES, mode="single"))
    world.until(lambda _: world.in_modes == {"single"} and not step_of(world))
    assert world.record is not None
    assert (world.record.settings, world.record.mode) == ({}, "single")


def test_auto_waits_for_the_dwell_and_takes_the_cluster_that_the_servers_have() -> None:
    world = World(connections=20_000, rules=replace(RULES, mode="auto"))
    world.wait(RULES.dwell - 10)
    assert step_of(world) == ""
    world.until(lambda _: world.in_modes == {"sharded"} and not step_of(world))
    # It stays there.
    world.connections = 100
    assert world.wait(7_200).condition.status == "True"
    assert world.marks == ["sharded"]


# What somebody has spoilt


@pytest.mark.parametrize("apply", ["roll", "figures"])
def test_a_config_map_that_is_gone_is_made_again_with_the_mode(apply: Literal["roll", "figures"]) -> None:
    world = World()
    world.until(lambda _: "AdapterModeRolled" in world.reasons)
    world.rules = replace(world.rules, apply=apply)
    world.lose()
    world.run_round()
    assert world.record is not None
    assert (world.record.mode, world.reasons[-1]) == ("sharded", "AdapterRestored")
    world.wait(3_600)
    assert world.marks == ["sharded"]


def test_a_config_map_that_goes_in_the_middle_of_a_rollout_does_not_leave_the_fleet_in_two() -> None:
    world = World(drains=300)
    until_step(world, "roll")
    world.until(lambda _: {one.mode for one in world.pods} == {"pubsub", "sharded"})
    world.lose()
    until_step(world, "roll")
    assert world.record is not None
    assert (world.record.settings, world.record.mode) == ({PUBLISH_BOTH: 1}, "sharded")
    world.until(is_over)
    assert world.in_modes == {"sharded"}


# In any order


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_no_event_is_lost_between_the_modes_and_it_ends(seed: int) -> None:
    chance = random.Random(seed)
    world = World(
        count=chance.randint(1, 5),
        takes=chance.choice([0, 20, 90, 160, 250]),
        starts=chance.choice([5, 30, 200, float("inf")]),
        drains=chance.choice([0, 60, 400]),
        deadline=chance.choice([120, 600]),
    )
    rules = RULES
    for _ in range(900):
        if chance.random() < 0.05:
            world.state = TuningState()  # another operator
            world.record = TuningRecord.parse(world.record.dump()) if world.record is not None else None
        if chance.random() < 0.02 and world.pods:
            world.restart(chance.choice(world.pods))
        if chance.random() < 0.05 and world.pods:
            chance.choice(world.pods).silent ^= True
        if chance.random() < 0.01:
            world.busy = chance.choice(["", "s1 is draining"])
        if chance.random() < 0.01:
            world.starts = chance.choice([5, 30, float("inf")])
        if chance.random() < 0.005:
            rules = replace(RULES, mode=chance.choice(["pubsub", "sharded"]))
        if chance.random() < 0.01:
            world.count = chance.randint(1, 5)
        world.rules = rules
        busy, before = world.busy or ("rolling" if world.rolling else ""), len(world.written)
        world.run_round()
        for record in world.written[before:]:
            if record.change is not None and record.change.step == "both":
                assert not busy
        assert world.broken == []
    # Nothing happens any more.
    world.starts, world.busy = 20, ""
    for one in world.pods:
        one.silent, one.ready_at = False, min(one.ready_at, world.now + world.starts)
    world.until(lambda _: not step_of(world))
    assert len(world.in_modes) == 1
    assert world.record is None or PUBLISH_BOTH not in world.record.settings
