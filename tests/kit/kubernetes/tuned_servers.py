"""Servers that apply a ConfigMap, and an operator that tunes them, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tradecast.config.settings import Settings
from tradecast.runtime_config.overrides import extract_runtime_settings, parse_overrides
from tradecast_operator.model.adapter_spec import RedisAdapter
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
