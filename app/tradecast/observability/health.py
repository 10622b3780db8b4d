"""Whether the server and what it depends on answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog

from tradecast.causes import REDIS as REDIS_SERVICE
from tradecast.causes import Cause, Place, explain_error
from tradecast.iso_time import format_now
from tradecast.observability.throttled_log import ThrottledLog

TIMEOUT = 2.0
KEEP = 1.0
EVERY = 15.0
Answer = tuple[int, dict[str, Any]]
NOT_CONFIGURED: Answer = (200, {"status": "not configured"})
# The dependencies of a server, by the names of their checks; `OTHER_REDIS` is the other mode's.
REDIS: Final = "redis"
OTHER_REDIS: Final = "other_redis"
DATABASE: Final = "database"
DEPENDENCIES: Final = (REDIS, OTHER_REDIS, DATABASE)
log = structlog.stdlib.get_logger("tradecast.health")


class Dependency(Protocol):
    """Something that the server depends on."""

    async def check(self) -> None:
        """Return if it answers. What is raised otherwise may be a `Failed`, and must name no address."""
        ...


class ErrorExplainer(Protocol):
    """Finds the causes of a dependency's errors."""

    async def explain(self, error: BaseException) -> Cause:
        """The cause of an error; it may take a moment to find it."""
        ...


class HealthObserver(Protocol):
    """Receives the results of checks."""

    def dependency(self, name: str, up: bool, seconds: float) -> None:
        """A check is done; `seconds`: how long it took."""
        ...

    def dependency_failed(self, name: str, cause: str) -> None:
        """A check found a dependency down; `cause`: why, one of `causes.Code`."""
        ...


class Unobserved(HealthObserver):
    """Nobody is interested."""

    def dependency(self, name: str, up: bool, seconds: float) -> None:
        """Nothing."""

    def dependency_failed(self, name: str, cause: str) -> None:
        """Nothing."""


class Health:
    """Checks by name. Simultaneous requests share one check, and its result is kept for a second.

    Args:
        timeout: Seconds that a check may take.
        keep: Seconds for which a result is good.
        observer: Gets each check's result.
    """

    def __init__(
        self,
        *,
        timeout: float = TIMEOUT,
        keep: float = KEEP,
        observer: HealthObserver | None = None,
    ) -> None:
        self._timeout = timeout
        self._keep = keep
        self._observer = observer if observer is not None else Unobserved()
        self._lines = ThrottledLog()
        self._dependencies: dict[str, Dependency] = {}
        self._explainers: dict[str, ErrorExplainer] = {}
        self._about: dict[str, dict[str, str]] = {}
        self._running: dict[str, asyncio.Task[Answer]] = {}
        self._results: dict[str, tuple[float, Answer]] = {}
        self._down: dict[str, Cause] = {}
        self._started = time.monotonic()

    def register(
        self, name: str, dependency: Dependency, explainer: ErrorExplainer | None = None, **about: str
    ) -> None:
        """Check a dependency.

        Args:
            name: Of the check.
            dependency: What is checked.
            explainer: Finds the causes of its errors; None: they are found by the errors alone.
            about: Added to every answer.
        """
        self._dependencies[name] = dependency
        if explainer is not None:
            self._explainers[name] = explainer
        self._about[name] = about

    def alive(self) -> dict[str, Any]:
        """The payload of `/health`: this process answers. No dependency is checked."""
        return {"status": "up", "uptime": round(time.monotonic() - self._started, 3), "timestamp": format_now()}

    async def check(self, name: str, *, addresses: bool = False) -> Answer:
        """An HTTP status and a body: 200 `up`, 503 `down` with why, 200 `not configured`.

        The body has `latencyMs`, milliseconds that the check took; of what is down `cause`, a word, `error`, a
        sentence, and `remedy`, what to do. It holds no text of a driver.

        Args:
            name: Of the check.
            addresses: Whether the sentence says where the dependency is, which is not for everybody.
        """
        status, body = await self._shared(name)
        cause = self._down.get(name)
        if status == NOT_CONFIGURED[0] or cause is None or not addresses:
            return status, body
        return status, {**body, "error": cause.sentence}

    def causes(self) -> Mapping[str, str]:
        """What the last checks found down, and why in a word."""
        return {name: str(cause.code) for name, cause in self._down.items()}

    async def _shared(self, name: str) -> Answer:
        dependency = self._dependencies.get(name)
        if dependency is None:
            return NOT_CONFIGURED
        done = self._results.get(name)
        if done is not None and time.monotonic() - done[0] < self._keep:
            return done[1]
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._check(name, dependency), name=f"health-{name}")
            task.add_done_callback(lambda _: self._running.pop(name, None))
        # one request that goes away must not end the check of the others
        return await asyncio.shield(task)

    def is_up(self, name: str) -> bool | None:
        """What the last check of `name` found; None: there was none yet."""
        last = self._results.get(name)
        return None if last is None else last[1][0] == NOT_CONFIGURED[0]

    async def run(self, every: float = EVERY) -> None:
        """Check everything now and then, for the metrics, until cancelled."""
        while True:
            await asyncio.gather(*(self.check(name) for name in self._dependencies))
            await asyncio.sleep(every)

    async def _check(self, name: str, dependency: Dependency) -> Answer:
        started = time.monotonic()
        trouble: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await dependency.check()
        except Exception as error:
            trouble = error
        seconds = time.monotonic() - started
        cause = None if trouble is None else await self._find_cause(name, trouble)
        latency = round(seconds * 1000, 1)
        about = self._about[name]
        answer: Answer
        if cause is None:
            answer = (200, {"status": "up", **about, "latencyMs": latency})
        else:
            about_cause = {"cause": str(cause.code), "error": cause.without_address, "remedy": cause.remedy}
            answer = (503, {"status": "down", **about, "latencyMs": latency, **about_cause})
        self._log_change(name, cause)
        self._results[name] = (time.monotonic(), answer)
        self._observer.dependency(name, cause is None, seconds)
        return answer

    async def _find_cause(self, name: str, error: Exception) -> Cause:
        if name not in self._explainers:
            return explain_error(error, Place(REDIS_SERVICE))
        try:
            return await self._explainers[name].explain(error)
        except Exception:
            log.exception("an error could not be explained", dependency=name)
            return explain_error(error, Place(REDIS_SERVICE))

    def _log_change(self, name: str, cause: Cause | None) -> None:
        before = self._down.get(name)
        if cause is not None:
            self._down[name] = cause
            self._observer.dependency_failed(name, str(cause.code))
            if before is None or before.code != cause.code:
                self._lines.write(
                    log.warning, "a dependency is down", kind=f"{name} {cause.code}", dependency=name, **cause.fields()
                )
        elif before is not None:
            del self._down[name]
            log.info("a dependency is up again", dependency=name)
