"""Whether the server and what it depends on answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

TIMEOUT = 2.0
KEEP = 1.0
EVERY = 15.0
Ping = Callable[[], Awaitable[None]]
Answer = tuple[int, dict[str, Any]]
NOT_CONFIGURED: Answer = (200, {"status": "not configured"})
log = structlog.stdlib.get_logger("tradecast.health")

# By name and not by class: no driver is imported for this.
_TIMED_OUT = ("TimeoutError", "NetworkTimeout", "ExecutionTimeout", "ServerSelectionTimeoutError")
_DENIED = ("AuthenticationError", "AuthorizationError", "NoPermissionError")
_LOST = ("ConnectionError", "ConnectionFailure", "OSError", "StoreUnavailable")
# Codes of MongoDB: AuthenticationFailed, Unauthorized, and Atlas' own.
_DENIED_CODES = (13, 18, 8000)
_REFUSED = re.compile(r"connection refused|errno 111|connect call failed", re.IGNORECASE)


class Health:
    """Checks by name. Simultaneous requests share one check, and its result is kept for a second.

    Args:
        timeout: Seconds that a check may take.
        keep: Seconds for which a result is good.
        on_result: Told each check's name, whether it is up, and its seconds.
    """

    def __init__(
        self,
        *,
        timeout: float = TIMEOUT,
        keep: float = KEEP,
        on_result: Callable[[str, bool, float], None] = lambda name, up, seconds: None,
    ) -> None:
        self._timeout = timeout
        self._keep = keep
        self._on_result = on_result
        self._pings: dict[str, Ping] = {}
        self._about: dict[str, dict[str, str]] = {}
        self._running: dict[str, asyncio.Task[Answer]] = {}
        self._results: dict[str, tuple[float, Answer]] = {}
        self._down: dict[str, str] = {}
        self._started = time.monotonic()

    def register(self, name: str, ping: Ping, **about: str) -> None:
        """Check `name` by awaiting `ping`, which raises when the dependency does not answer.

        Args:
            name: Of the check.
            ping: An error of it may have `in_words`, which is told, and must name no address.
            about: Told in every answer.
        """
        self._pings[name] = ping
        self._about[name] = about

    def alive(self) -> dict[str, Any]:
        """The payload of `/health`: this process answers. No dependency is asked."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"status": "up", "uptime": round(time.monotonic() - self._started, 3), "timestamp": now}

    async def check(self, name: str) -> Answer:
        """An HTTP status and a body: 200 `up`, 503 `down` with a word on why, 200 `not configured`.

        The body has `latencyMs`, milliseconds that the check took. It holds no address and no text of a driver.
        """
        ping = self._pings.get(name)
        if ping is None:
            return NOT_CONFIGURED
        done = self._results.get(name)
        if done is not None and time.monotonic() - done[0] < self._keep:
            return done[1]
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(self._check(name, ping), name=f"health-{name}")
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
            await asyncio.gather(*(self.check(name) for name in self._pings))
            await asyncio.sleep(every)

    async def _check(self, name: str, ping: Ping) -> Answer:
        started = time.monotonic()
        trouble: str | None = None
        try:
            async with asyncio.timeout(self._timeout):
                await ping()
        except Exception as error:
            trouble = classify(error)
        seconds = time.monotonic() - started
        latency = round(seconds * 1000, 1)
        about = self._about[name]
        answer: Answer
        if trouble is None:
            answer = (200, {"status": "up", **about, "latencyMs": latency})
        else:
            answer = (503, {"status": "down", **about, "latencyMs": latency, "error": trouble})
        self._results[name] = (time.monotonic(), answer)
        self._tell(name, trouble)
        self._on_result(name, trouble is None, seconds)
        return answer

    def _tell(self, name: str, trouble: str | None) -> None:
        before = self._down.get(name)
        if trouble is not None:
            self._down[name] = trouble
            if before is None:
                log.warning("a dependency is down", dependency=name, reason=trouble)
        elif before is not None:
            del self._down[name]
            log.info("a dependency is up again", dependency=name)


def classify(error: BaseException) -> str:
    """The class of trouble in words; what the driver says may hold addresses and credentials."""
    chain = list(_chain(error))
    words = next((one.in_words for one in chain if hasattr(one, "in_words")), None)
    kind = _kind(chain)
    return kind if words is None else f"{words}: {kind}"


def _kind(chain: Sequence[BaseException]) -> str:
    if any(_is(one, *_DENIED) or getattr(one, "code", None) in _DENIED_CODES for one in chain):
        return "authentication failed"
    # pymongo tells a refusal only in the text of its time-out, redis-py in that of its own error
    if any(isinstance(one, ConnectionRefusedError) or _REFUSED.search(str(one)) for one in chain):
        return "refused"
    if any(_is(one, *_TIMED_OUT) for one in chain):
        return "timed out"
    if any(_is(one, *_LOST) for one in chain):
        return "not reachable"
    return "answers with an error"


def _is(error: BaseException, *names: str) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
