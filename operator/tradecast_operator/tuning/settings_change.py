"""Other settings for the adapter: proposed, written, confirmed by every server, or rolled back. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tradecast_operator.planning.conditions import Condition
from tradecast_operator.tuning.record import TuningRecord, describe_settings, select_settings
from tradecast_operator.tuning.round import ROLLBACK_PAUSE, TuningRound, name_servers
from tradecast_operator.tuning.rules import Change, propose_changes
from tradecast_operator.tuning.snapshot import OBSERVATIONS, Decision

# Seconds for which a change is watched after it is in effect at every server.
WATCH_SECONDS = 60.0


class SettingsChange(TuningRound):
    """A change of the adapter's settings."""

    def confirm(self) -> Decision:
        """Continue a change that is on trial: confirm it, roll it back, or wait."""
        snapshot, record, rules = self._snapshot, self._record, self._rules
        refusal = snapshot.find_refusal(record)
        missing = [*self._not_in_effect(), *snapshot.silent]
        age = snapshot.time - record.changed_at
        trouble = snapshot.find_trouble(record)
        self._state = replace(self._state, trouble_count=self._state.trouble_count + 1 if trouble else 0)
        if refusal is not None:
            return self._roll_back(f"{refusal.pod} refuses it: {refusal.error}")
        if self._state.trouble_count >= OBSERVATIONS:
            return self._roll_back(trouble)
        if missing or not snapshot.servers:
            self._state = replace(self._state, confirmed_since=None)
            where = name_servers(missing)
            if age > rules.confirm:
                return self._roll_back(f"after {age:.0f} s not in effect at {where}")
            message = f"revision {record.revision} is written, and not in effect at {where}"
            return self._decide("False", "Waiting", message)
        confirmed_since = self._state.confirmed_since
        if confirmed_since is None:
            confirmed_since = snapshot.time
        self._state = replace(self._state, confirmed_since=confirmed_since)
        if snapshot.time - confirmed_since < WATCH_SECONDS or trouble:
            message = (
                f"revision {record.revision} is in effect at every server; it is watched for {WATCH_SECONDS:.0f} s"
            )
            return self._decide("False", "Watching", message)
        message = f"revision {record.revision} is in effect at all {len(snapshot.servers)} servers and does no harm"
        self._report(reason="AdapterConfirmed", message=message)
        self._state = replace(self._state, confirmed_since=None, trouble_count=0)
        return self._settle(replace(record, on_trial=False, previous={}, rollback_reason=""))

    def recommend(self) -> Decision:
        """Report better settings without writing them. Every server has answered, and there are some."""
        snapshot, rules, state = self._snapshot, self._rules, self._state
        differing = self._find_differing()
        if differing is not None:
            return self._conclude(differing)
        settings = snapshot.servers[0].settings
        defaults = {**settings, **snapshot.servers[0].defaults}
        recommended = {**settings, **state.recommended}
        if state.recommended_at is None or snapshot.time - state.recommended_at >= rules.dwell:
            changes = propose_changes(recommended, defaults, snapshot.servers, snapshot.redis.memory, rules)
            if changes and not snapshot.rolling_out:
                recommended |= {change.setting: change.after for change in changes}
                self._report(reason="AdapterRecommended", message=f"better: {_join_changes(changes)}")
                self._state = replace(state, recommended=recommended, recommended_at=snapshot.time)
        better = {name: value for name, value in recommended.items() if value != settings[name]}
        condition = self._describe(None)
        if better and condition.status == "True":
            message = f"better, and not in effect: {describe_settings(better)}"
            return self._decide("False", "Recommended", message)
        return self._conclude(condition)

    def begin(self, mode_obstacle: str) -> Decision:
        """Begin a change if the rules ask for one. No change is on trial; every server has answered.

        Args:
            mode_obstacle: Why the fleet is not rolled onto another mode; empty: it is not to be.
        """
        snapshot, record, rules = self._snapshot, self._record, self._rules
        unchanged = self._conclude(self._describe(record if self._is_recorded else None, mode_obstacle))
        dwelling = snapshot.time - record.changed_at < rules.dwell
        if snapshot.rolling_out or snapshot.time < record.no_change_before or dwelling:
            return unchanged
        differing = self._find_differing()
        if differing is not None:
            return replace(unchanged, condition=differing)
        if self._is_recorded and self._not_in_effect():
            return unchanged
        defaults = {**record.defaults, **snapshot.servers[0].defaults}
        settings = {**snapshot.servers[0].settings, **record.settings}
        changes = propose_changes(settings, defaults, snapshot.servers, snapshot.redis.memory, rules)
        if not changes:
            # The change that was rolled back is no longer wanted.
            forgotten = replace(record, rollback_reason="") if record.rollback_reason else None
            return replace(unchanged, record=forgotten)
        wanted = {**record.settings, **{change.setting: change.after for change in changes}}
        # Settings with their default are not written unless they are pinned.
        wanted = {name: value for name, value in wanted.items() if name in rules.pinned or value != defaults.get(name)}
        written = TuningRecord(
            settings=wanted,
            previous=record.settings,
            changed_at=snapshot.time,
            on_trial=True,
            rollback_reason=record.rollback_reason,
            mode=record.mode,
            defaults=select_settings(defaults, {**wanted, **record.settings}),
            queued=snapshot.queued,
            isolated_seconds=snapshot.isolated_seconds,
        )
        self._report(reason="AdapterTuned", message=f"revision {written.revision}: {_join_changes(changes)}")
        self._state = replace(self._state, trouble_count=0, confirmed_since=None)
        message = f"revision {written.revision} has just been written"
        return self._decide("False", "Waiting", message, record=written)

    def _roll_back(self, why: str) -> Decision:
        record, pause = self._record, self._rules.dwell * ROLLBACK_PAUSE
        settings = describe_settings(record.settings)
        message = f"{settings} rolled back: {why}; no other change starts for {pause:.0f} s"
        self._report(reason="AdapterTakenBack", message=message, warning=True)
        self._state = replace(self._state, confirmed_since=None, trouble_count=0)
        return self._settle(record.rolled_back(self._snapshot.time, pause, why))

    def _settle(self, record: TuningRecord) -> Decision:
        """Persist a record with which nothing is on trial any more."""
        return replace(self._conclude(self._describe(record)), record=record)

    def _conclude(self, condition: Condition) -> Decision:
        return self._decide(condition.status, condition.reason, condition.message)

    def _describe(self, record: TuningRecord | None, mode_obstacle: str = "") -> Condition:
        """The condition while no change is on trial."""
        if record is not None and record.rollback_reason and not record.on_trial:
            message = f"the last change was rolled back: {record.rollback_reason}"
            return Condition("AdapterTuned", "False", "TakenBack", message)
        servers, recommended = self._snapshot.servers, self._state.recommended_mode
        others = [one.pod for one in servers if record is not None and one.revision != record.revision]
        if record is not None and others:
            message = f"revision {record.revision} is not in effect at {name_servers(others)}"
            return Condition("AdapterTuned", "False", "NotInForce", message)
        modes = {one.mode for one in servers}
        if recommended is None and mode_obstacle:
            return Condition("AdapterTuned", "Unknown", "NotRecommended", mode_obstacle)
        if recommended is not None and modes and modes != {recommended}:
            message = f"mode {recommended} is recommended, servers are in {'/'.join(sorted(modes))}"
            message += f"; not rolled: {mode_obstacle}" if mode_obstacle else ": see docs/operator.md"
            return Condition("AdapterTuned", "False", "ModeDiffers", message)
        if modes == {"single"}:
            return Condition("AdapterTuned", "True", "NothingToTune", "without Redis the settings have no effect")
        message = "the servers' own settings fit" if record is None else f"revision {record.revision} is in effect"
        return Condition("AdapterTuned", "True", "InForce", message)

    def _find_differing(self) -> Condition | None:
        """Servers with different settings: what suits one may harm the other."""
        first, *rest = self._snapshot.servers
        others = [one.pod for one in rest if one.settings != first.settings or one.mode != first.mode]
        if not others:
            return None
        message = f"{others[0]} has other settings than {first.pod}"
        return Condition("AdapterTuned", "False", "ServersDiffer", message)


def _join_changes(changes: Sequence[Change]) -> str:
    return "; ".join(map(str, changes))
