"""From one mode to another: the fleet is rolled, and no event is lost between servers of the two modes. Pure.

Between two modes that have a Redis each, every server first publishes to both (step `both`), then the Deployment is
rolled (`roll`), then every server publishes to one Redis again (`off`). What fails is rolled back (`back`). Each step
is persisted with the settings before anything is done, so that another operator can continue.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tradecast_operator.model.adapter_spec import PUBLISH_BOTH, AdapterSettings, Mode
from tradecast_operator.tuning.mode_obstacles import find_mode_obstacle
from tradecast_operator.tuning.recommendation import recommend_for
from tradecast_operator.tuning.record import ModeChangeRecord, TuningRecord, select_settings
from tradecast_operator.tuning.round import ROLLBACK_PAUSE, TuningRound, name_servers
from tradecast_operator.tuning.snapshot import OBSERVATIONS, Decision

# Seconds for which every server publishes to both Redis before the fleet is rolled. Servers check every 15 s whether
# the other Redis answers. A change of other settings is watched for 60 s to find out what shows under load only;
# nothing depends on this one until there are servers of the other mode.
WATCH_SECONDS: Final = 20.0
# Seconds between writing the mode and rolling: nodes receive a changed ConfigMap through a watch.
CONFIG_MAP_DELAY: Final = 5.0
# The condition's reason while a change is under way.
ROLLING: Final = "ModeRolling"


class ModeChange(TuningRound):
    """A change of the adapter's mode.

    Attributes:
        obstacle: Why no change has begun though one is wanted; empty before `begin`, or if none is wanted.
    """

    obstacle: str = ""

    # Before a change

    def restore(self) -> Decision | None:
        """Write the mode again if somebody has removed it from the ConfigMap; None: nobody has.

        Every server has answered, and there are some; no change is on trial.
        """
        lost = self._find_lost_mode()
        if lost is None:
            return None
        message = f"somebody has changed the ConfigMap: servers that start no longer got the mode {lost.mode}"
        self._report(reason="AdapterRestored", message=message, warning=True)
        return self._decide("False", "Waiting", message, record=lost)

    def begin(self) -> Decision | None:
        """Begin a change if one is wanted and possible; None: `obstacle` is why not.

        Every server has answered, and there are some; no change is on trial.
        """
        snapshot, record = self._snapshot, self._record
        current, to = snapshot.servers[0].mode, self._choose_target()
        if to is None:
            self.obstacle = (
                "the operator has no answer from Redis yet, so it recommends no mode (condition RedisLimited)"
            )
            return None
        if all(one.mode == to for one in snapshot.servers):
            return None
        self.obstacle = find_mode_obstacle(snapshot, self._rules, record, self._state, current, to)
        if self.obstacle:
            return None
        why = recommend_for(snapshot, self._rules, self._state.recommended_mode or current)[1]
        with_both = "single" not in (current, to)
        change = ModeChangeRecord(
            before=current,
            to=to,
            step="both" if with_both else "roll",
            since=snapshot.time,
            began=snapshot.time,
            mark_before=snapshot.template_mark,
            key_before=record.mode,
        )
        settings, defaults = self._with_both()
        self._record = TuningRecord(
            settings=settings if with_both else record.settings,
            previous=record.settings,
            changed_at=snapshot.time,
            defaults=defaults,
            queued=snapshot.queued,
            isolated_seconds=snapshot.isolated_seconds,
            mode=record.mode,
            change=change,
        )
        if not with_both:
            return self._start_roll(change, "; ".join(filter(None, (why, snapshot.rollout_too_fast))))
        self._state = self._state.for_next_step()
        first = f"first, servers publish events to both Redis (revision {self._record.revision})"
        self._report(reason="AdapterModeRolling", message=f"{change.name}: {why}; {first}")
        return self._continue(first, record=self._record)

    def proceed(self, change: ModeChangeRecord) -> Decision:
        """Continue the change that is under way. Servers may be silent, or none may be there."""
        match change.step:
            case "both":
                return self._publish_to_both(change)
            case "roll":
                return self._roll(change)
            case "back":
                return self._roll_back(change)
            case "off":
                return self._publish_to_one(change)

    def _choose_target(self) -> Mode | None:
        """The mode that the servers should be in; None: unknown yet."""
        if self._rules.mode != "auto":
            return self._rules.mode
        recommended, servers = self._state.recommended_mode, self._snapshot.servers
        if recommended in (None, "single") or servers[0].mode != "single":
            return recommended
        # Any Redis that they have is better than none.
        possible: list[Mode] = [recommended, "pubsub", "sharded"]
        return next((mode for mode in possible if all(mode in one.modes for one in servers)), recommended)

    def _find_lost_mode(self) -> TuningRecord | None:
        """The record to write if somebody has removed the ConfigMap; None: nobody has.

        Servers that start would no longer get their mode, and in the middle of a change servers of two modes would no
        longer publish to both Redis.
        """
        snapshot, record = self._snapshot, self._record
        written = record.mode or snapshot.template_mark.partition(".")[0]
        modes = {one.mode for one in snapshot.servers}
        modes |= {mode for mode in snapshot.out_of_service.values() if mode is not None}
        if written not in modes or not snapshot.reads_mode or snapshot.time < record.no_change_before:
            return None
        if len(modes) == 1:
            return None if record.mode else replace(record, mode=written, changed_at=snapshot.time)
        if "single" in modes or any(one.other_redis_up is None for one in snapshot.servers):
            return None
        to: Mode = "sharded" if written == "sharded" else "pubsub"
        change = ModeChangeRecord(
            before="pubsub" if to == "sharded" else "sharded",
            to=to,
            step="roll",
            since=snapshot.time,
            began=snapshot.time,
            mark=snapshot.template_mark or to,
            mark_before=snapshot.template_mark,
            key_before=to,
        )
        settings, defaults = self._with_both()
        return replace(
            record,
            settings=settings,
            previous=record.settings,
            changed_at=snapshot.time,
            defaults=defaults,
            mode=to,
            change=change,
        )

    def _with_both(self) -> tuple[AdapterSettings, AdapterSettings]:
        """The settings by which servers publish to both Redis, and the defaults of these settings."""
        settings = {**self._record.settings, PUBLISH_BOTH: 1}
        return settings, select_settings({**self._record.defaults, **self._snapshot.servers[0].defaults}, settings)

    # Step both

    def _publish_to_both(self, change: ModeChangeRecord) -> Decision:
        """Wait until every server publishes to both Redis, watch that, then roll."""
        snapshot, rules, record = self._snapshot, self._rules, self._record
        age = snapshot.time - change.since
        missing = [
            *(
                one.pod
                for one in snapshot.servers
                if one.revision != record.revision or one.settings.get(PUBLISH_BOTH) != 1
            ),
            *snapshot.silent,
        ]
        refusal = snapshot.find_refusal(record)
        trouble = self._find_trouble_with_both(change, missing)
        if rules.mode == change.before:
            return self._abandon(change, f"the SocketFleet asks for mode {rules.mode}")
        if refusal is not None:
            return self._abandon(change, f"{refusal.pod} refuses it: {refusal.error}")
        if self._state.trouble_count >= OBSERVATIONS:
            return self._abandon(change, trouble)
        if missing or not snapshot.servers:
            where = name_servers(missing)
            if age > rules.confirm:
                return self._abandon(change, f"after {age:.0f} s {PUBLISH_BOTH} is not in effect at {where}")
            self._state = replace(self._state, confirmed_since=None)
            return self._continue(
                f"{change.name}: {PUBLISH_BOTH} (revision {record.revision}) is not in effect at {where}"
            )
        if self._state.confirmed_since is None:
            self._state = replace(self._state, confirmed_since=snapshot.time)
        # Events that a Redis does not accept are reported once their timeout has passed.
        watched = max(WATCH_SECONDS, 2 * max(one.settings["publish_timeout"] for one in snapshot.servers))
        if snapshot.time - (self._state.confirmed_since or 0) < watched or trouble:
            return self._continue(
                f"{change.name}: every server publishes to both Redis, which is watched for {watched:.0f} s"
            )
        busy = snapshot.busy or snapshot.rollout_too_fast
        if busy and age > rules.roll:
            return self._abandon(change, f"after {age:.0f} s the fleet still cannot be rolled: {busy}")
        if busy:
            return self._continue(f"{change.name}: the rollout waits: {busy}")
        return self._start_roll(change, f"all {len(snapshot.servers)} servers publish to both Redis")

    def _find_trouble_with_both(self, change: ModeChangeRecord, missing: list[str]) -> str:
        """What has gone wrong since servers publish to both Redis; empty: nothing. Counts failures in a row."""
        snapshot = self._snapshot
        counts = {one.pod: one.other_redis_failed for one in snapshot.servers if one.pod not in missing}
        # A server that restarts counts from 0 again.
        before = {pod: min(count, self._state.failed_before.get(pod, count)) for pod, count in counts.items()}
        failed = [f"{count - before[pod]} events of {pod}" for pod, count in counts.items() if count > before[pod]]
        down = [one.pod for one in snapshot.servers if one.other_redis_up is False]
        trouble = snapshot.find_trouble(self._record)
        if down:
            trouble = trouble or f"the Redis of {change.to} does not answer at {down[0]}"
        elif failed:
            trouble = trouble or f"the Redis of {change.to} has not accepted {failed[0]} (full, or not permitted?)"
        trouble_count = self._state.trouble_count + 1 if trouble else 0
        self._state = replace(self._state, trouble_count=trouble_count, failed_before=before)
        return trouble

    def _abandon(self, change: ModeChangeRecord, why: str) -> Decision:
        """Give the change up before anything is rolled: servers publish to one Redis, as before."""
        message = f"{change.name} rolled back: {why}; no other change starts for {self._pause(change):.0f} s"
        self._report(reason="AdapterTakenBack", message=message, warning=True)
        return self._end_rolled_back(change, why)

    # Step roll

    def _start_roll(self, change: ModeChangeRecord, why: str) -> Decision:
        """Give servers that start the new mode; the pod template follows when the nodes have the ConfigMap."""
        snapshot = self._snapshot
        rolled = replace(change, step="roll", since=snapshot.time, mark=_next_mark(snapshot.template_mark, change.to))
        self._state = self._state.for_next_step()
        message = f"{change.name}: {why}; the Deployment of {len(snapshot.servers)} servers is rolled"
        self._report(reason="AdapterModeRolling", message=message)
        return self._continue(message, record=replace(self._record, mode=change.to, change=rolled))

    def _roll(self, change: ModeChangeRecord) -> Decision:
        """Wait until every server is in the new mode."""
        snapshot, rules = self._snapshot, self._rules
        age = snapshot.time - change.since
        refusal = snapshot.find_refusal(self._record)
        remaining = self._find_remaining(change.mark, change.to)
        if not remaining and not (self._find_unknown() and age <= rules.roll):
            return self._end_roll(change)
        if rules.mode == change.before:
            return self._start_rollback(change, f"the SocketFleet asks for mode {rules.mode}")
        if refusal is not None:
            return self._start_rollback(change, f"{refusal.pod} refuses the settings: {refusal.error}")
        if snapshot.rollout_stalled and snapshot.template_mark == change.mark:
            why = f"after {age:.0f} s the rollout does not progress (ProgressDeadlineExceeded): {remaining}"
            return self._start_rollback(change, why)
        # Once all servers in service are in the new mode, a rollback would cost more than the wait for the old ones.
        arrived = bool(snapshot.servers) and not snapshot.silent
        arrived = arrived and all(one.mode == change.to for one in snapshot.servers)
        if age > rules.roll and not arrived:
            why = f"after {age:.0f} s not every server is in {change.to}: {remaining}"
            return self._start_rollback(change, why)
        return self._roll_pods(change, change.to)

    def _end_roll(self, change: ModeChangeRecord) -> Decision:
        """Every server is in the new mode."""
        if "single" in (change.before, change.to):
            return self._complete(change)
        snapshot = self._snapshot
        off = replace(change, step="off", since=snapshot.time)
        record = replace(self._record, settings=self._record.previous, changed_at=snapshot.time, change=off)
        where = f"all {len(snapshot.servers)} servers are in {change.to}"
        message = f"{change.name}: {where}; they publish to its Redis only (revision {record.revision})"
        self._report(reason="AdapterModeRolling", message=message)
        return self._continue(message, record=record)

    # Step back

    def _start_rollback(self, change: ModeChangeRecord, why: str) -> Decision:
        """Give servers that start the earlier mode again, and roll the Deployment back."""
        back = replace(change, step="back", since=self._snapshot.time, mark=change.mark_before, why=why)
        self._state = replace(self._state, wrong_mode_count=0)
        message = f"{change.name} rolled back: {why}; the Deployment is rolled back"
        self._report(reason="AdapterTakenBack", message=message, warning=True)
        return self._continue(message, record=replace(self._record, mode=change.key_before, change=back))

    def _roll_back(self, change: ModeChangeRecord) -> Decision:
        """Wait until every server is in the earlier mode again, without a deadline: there are servers of two modes."""
        waits = self._find_unknown() and self._snapshot.time - change.since <= self._rules.roll
        if not self._find_remaining(change.mark, change.before) and not waits:
            return self._end_rolled_back(change, change.why)
        return self._roll_pods(change, change.before)

    def _end_rolled_back(self, change: ModeChangeRecord, why: str) -> Decision:
        record = self._record.rolled_back(self._snapshot.time, self._pause(change), why)
        self._state = self._state.for_next_step()
        return self._decide("False", "TakenBack", f"the last change was rolled back: {why}", record=record)

    def _pause(self, change: ModeChangeRecord) -> float:
        """Seconds until the next attempt; few for a change from single, since no servers are added meanwhile."""
        return self._rules.dwell * (1 if change.before == "single" else ROLLBACK_PAUSE)

    # Step off

    def _publish_to_one(self, change: ModeChangeRecord) -> Decision:
        """Wait until every server publishes to one Redis again."""
        snapshot = self._snapshot
        strays = [one for one in snapshot.servers if one.mode != change.to]
        if strays:
            rolled = replace(change, step="roll", since=snapshot.time)
            settings = {**self._record.previous, PUBLISH_BOTH: 1}
            record = replace(self._record, settings=settings, changed_at=snapshot.time, change=rolled)
            stray = f"{strays[0].pod} is in {strays[0].mode}"
            message = f"{change.name}: {stray}; servers publish to both Redis again"
            self._report(reason="AdapterModeRolling", message=message, warning=True)
            return self._continue(message, record=record)
        missing = [*self._not_in_effect(), *snapshot.silent]
        if missing or not snapshot.servers:
            where = name_servers(missing)
            return self._continue(f"{change.name}: revision {self._record.revision} is not in effect at {where}")
        return self._complete(change)

    def _complete(self, change: ModeChangeRecord) -> Decision:
        snapshot, record = self._snapshot, self._record
        took = snapshot.time - change.began
        message = f"{change.name}: complete at all {len(snapshot.servers)} servers, after {took:.0f} s"
        self._report(reason="AdapterModeRolled", message=message)
        # The status still has the mode that was recommended before.
        decision = self._decide(
            "True",
            "InForce",
            message,
            record=TuningRecord(
                settings=record.settings,
                changed_at=snapshot.time,
                defaults=select_settings(record.defaults, record.settings),
                mode=record.mode,
            ),
        )
        return replace(decision, state=replace(self._state, recommended_mode=change.to))

    # What all steps use

    def _roll_pods(self, change: ModeChangeRecord, to: Mode) -> Decision:
        """Roll the Deployment once the nodes have the ConfigMap; again if servers have started too early."""
        snapshot = self._snapshot
        remaining = self._find_remaining(change.mark, to) or f"{self._find_unknown()} does not answer"
        message = f"{change.name}: {'rolling' if to == change.to else 'rolling back'}; {remaining}"
        if snapshot.template_mark != change.mark:
            mark = change.mark if snapshot.time - change.since >= CONFIG_MAP_DELAY else None
            return self._continue(message, mark=mark)
        wrong = [one for one in snapshot.servers if one.mode != to]
        settled = wrong and not snapshot.rolling_out and snapshot.reads_mode
        self._state = replace(self._state, wrong_mode_count=self._state.wrong_mode_count + 1 if settled else 0)
        if self._state.wrong_mode_count < OBSERVATIONS:
            return self._continue(message)
        self._state = replace(self._state, wrong_mode_count=0)
        again = replace(change, mark=_next_mark(snapshot.template_mark, to))
        stray = f"{wrong[0].pod} is in {wrong[0].mode}"
        message = f"{change.name}: the rollout is complete and {stray}: the Deployment is rolled again"
        self._report(reason="AdapterModeRolling", message=message, warning=True)
        return self._continue(message, record=replace(self._record, mode=to, change=again))

    def _find_remaining(self, mark: str, to: Mode) -> str:
        """What is missing until every server is in a mode; empty: at most servers out of service without an answer."""
        snapshot = self._snapshot
        others = [one.pod for one in snapshot.servers if one.mode != to]
        ending = [name for name, mode in snapshot.out_of_service.items() if mode not in (None, to)]
        if not snapshot.servers or others or snapshot.silent:
            count = len(snapshot.servers) + len(snapshot.silent)
            arrived = f"{len(snapshot.servers) - len(others)} of {count} servers in service are in {to}"
            return f"{arrived}, not {name_servers([*others, *snapshot.silent])}" if count else arrived
        if ending:
            return f"{name_servers(ending)} are terminating in another mode"
        return "the rollout is not complete" if snapshot.rolling_out or snapshot.template_mark != mark else ""

    def _find_unknown(self) -> str:
        """A server out of service that may have clients and does not answer; empty: none."""
        return next((name for name, mode in self._snapshot.out_of_service.items() if mode is None), "")

    def _continue(self, message: str, *, record: TuningRecord | None = None, mark: str | None = None) -> Decision:
        """The change continues in the next round."""
        return self._decide("False", ROLLING, message, record=record, mark=mark)


def _next_mark(current: str, mode: Mode) -> str:
    """An annotation for a mode that differs from the current one: the same value would roll nothing."""
    name, _, count = current.partition(".")
    if name != mode:
        return mode
    return f"{mode}.{int(count) + 1 if count.isdecimal() else 2}"
