"""What the tuning of one round decides by, what it remembers, and what it decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tradecast_operator.model.actions import Action
from tradecast_operator.model.adapter_spec import AdapterSettings, Mode
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.tuning.record import TuningRecord
from tradecast_operator.tuning.redis_limits import RedisWatch
from tradecast_operator.tuning.server_adapter import ServerAdapter

# A change is harmful if since the change a server has not received other servers' events for so many seconds, or so
# many more events are queued for Redis than before, or so many times as many.
ISOLATED, QUEUED_MORE, QUEUED_TIMES = 5.0, 1_000, 2
# So many observations in a row must find the same trouble.
OBSERVATIONS: Final = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fleet's adapter at one moment.

    Attributes:
        time: Now, in seconds since 1970.
        servers: The reports of the servers in service that answer.
        silent: Names of the servers in service that do not answer.
        rolling_out: Whether a rollout is under way: there are servers of two templates, whose settings may differ.
        connections: Of the whole fleet.
        wanted: How many servers there should be.
        redis: What is known of Redis.
        rollout_stalled: Whether the Deployment reports that its rollout does not progress.
        out_of_service: Modes of the servers that are not in service and may have clients, by name; None: no answer.
        busy: Why the fleet cannot be rolled now; empty: it can.
        rollout_too_fast: Why a rollout would close clients abruptly; empty: it would not.
        template_mark: The mode annotation on the Deployment's pod template; empty: there is none.
        reads_mode: Whether that template takes the servers' mode from the operator's ConfigMap.
    """

    time: float
    servers: Sequence[ServerAdapter]
    silent: Sequence[str] = ()
    rolling_out: bool = False
    connections: int = 0
    wanted: int = 1
    redis: RedisWatch = field(default_factory=RedisWatch)
    rollout_stalled: bool = False
    out_of_service: Mapping[str, Mode | None] = field(default_factory=dict)
    busy: str = ""
    rollout_too_fast: str = ""
    template_mark: str = ""
    reads_mode: bool = False

    @property
    def queued(self) -> int:
        """Events that are queued for Redis, of all servers."""
        return sum(one.queued for one in self.servers)

    @property
    def isolated_seconds(self) -> float:
        """Seconds without other servers' events, of the server that has been isolated for longest."""
        return max((one.isolated_seconds for one in self.servers), default=0)

    def find_refusal(self, record: TuningRecord) -> ServerAdapter | None:
        """A server that refuses the settings in the ConfigMap; None: none does."""
        return next((one for one in self.servers if one.error and one.seen_revision == record.revision), None)

    def find_trouble(self, record: TuningRecord) -> str:
        """What has become worse since the last change; empty: nothing."""
        isolated, queued = self.isolated_seconds, self.queued
        if isolated > ISOLATED and isolated > record.isolated_seconds:
            return f"a server has received no events of other servers for {isolated:.0f} s since the change"
        if queued > max(record.queued + QUEUED_MORE, record.queued * QUEUED_TIMES):
            return f"{queued} events are queued for Redis, compared with {record.queued} before the change"
        return ""


@dataclass(frozen=True, slots=True)
class TuningState:
    """What the tuning remembers from round to round. It is not persisted: a new operator starts without it.

    Attributes:
        recommended_mode: The mode that was recommended last; None: none yet.
        recommended_since: Since when, in seconds since 1970.
        recommended: The settings that were recommended last.
        recommended_at: When; None: never.
        trouble_count: How many observations in a row have found trouble.
        confirmed_since: Since when every server has the change that is on trial in effect; None: not yet.
        wrong_mode_count: How many observations in a row have found servers in the wrong mode after the rollout.
        failed_before: Events that each server's other Redis had failed to accept when the server was first seen to
            publish to both.
    """

    recommended_mode: Mode | None = None
    recommended_since: float = 0
    recommended: AdapterSettings = field(default_factory=dict)
    recommended_at: float | None = None
    trouble_count: int = 0
    confirmed_since: float | None = None
    wrong_mode_count: int = 0
    failed_before: Mapping[str, int] = field(default_factory=dict)

    def for_next_step(self) -> TuningState:
        """Without what was observed in the step before."""
        return replace(self, trouble_count=0, confirmed_since=None, wrong_mode_count=0, failed_before={})


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write, what to report, and what to remember.

    Attributes:
        record: The record to persist; None: it stays as it is.
        actions: What to report once the record is written.
        condition: The condition AdapterTuned.
        status: The adapter's part of the status.
        state: For the next round.
        mark: The mode annotation to write on the Deployment's pod template; empty: remove it; None: it stays as it is.
    """

    record: TuningRecord | None
    actions: Sequence[Action]
    condition: Condition
    status: Mapping[str, str]
    state: TuningState
    mark: str | None = None
