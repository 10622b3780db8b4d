"""From a client's event to its handler: the checks before it, the answer behind it, and what is measured."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from inspect import Parameter, iscoroutine, iscoroutinefunction, signature
from itertools import chain
from typing import Any, Final, Protocol

import structlog

from tradecast.background.stepping import Done, step_coroutine
from tradecast.connections.connection import Connection, EventGuard
from tradecast.delivery.errors import EventRefused

MAIN: Final = "/"
Handler = Callable[..., Any]
"""Called with a connection and an event's arguments. A coroutine function, or a plain one that does not block."""
log = structlog.stdlib.get_logger("tradecast.server")


class EventObserver(Protocol):
    """Receives what becomes of events; the metrics do."""

    def know_event(self, event: str) -> None:
        """There is a handler for this event."""
        ...

    def event_received(self, event: str) -> None:
        """A client has sent an event; `other` if it has no handler."""
        ...

    def event_refused(self, event: str, reason: str) -> None:
        """An event was answered with an error."""
        ...

    def event_handled(self, event: str, seconds: float, failed: bool) -> None:
        """An event is done, or refused; `failed`: through no fault of the client's."""
        ...


class Locality(Protocol):
    """Knows where limits, rooms and history are.

    Attributes:
        is_local: Whether all of them are in this process's memory now, so that nothing has to be awaited.
    """

    @property
    def is_local(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Route:
    """An event with its handler and the checks that stand before it.

    Attributes:
        steps: Whether the handler's coroutine may be stepped (`stepping`) while nothing has to be waited for.
        is_async: Whether the handler is a coroutine function.
    """

    event: str
    handler: Handler
    guards: tuple[EventGuard, ...] = ()
    steps: bool = False
    is_async: bool = field(init=False)
    _takes: int | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_async", iscoroutinefunction(self.handler))
        object.__setattr__(self, "_takes", _count_arguments(self.handler))

    def call(self, connection: Connection, arguments: list[Any]) -> Any:
        """Call the handler with as many arguments as it takes: as in JavaScript, what is missing is None."""
        if self._takes is None:
            return self.handler(connection, *arguments)
        if self._takes == 1:
            return self.handler(connection, arguments[0] if arguments else None)
        missing = [None] * (self._takes - len(arguments))
        return self.handler(connection, *arguments[: self._takes], *missing)


def _count_arguments(handler: Handler) -> int | None:
    """How many arguments of an event a handler takes; None: all that there are."""
    parameters = signature(handler).parameters.values()
    if any(one.kind is Parameter.VAR_POSITIONAL for one in parameters):
        return None
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return max(sum(one.kind in positional for one in parameters) - 1, 0)


class Dispatcher:
    """Events of all namespaces by their names, and what is done for each.

    A check or handler that is a plain function runs at once, in a copy of the context; a coroutine runs in a task,
    with all that comes behind it, and in that task's context.

    Args:
        observer: Gets what becomes of each event.
        locality: Knows when the contract's own handlers may be stepped.
    """

    def __init__(self, observer: EventObserver, locality: Locality) -> None:
        self._observer = observer
        self._locality = locality
        self._routes: dict[str, dict[str, Route]] = {MAIN: {}}

    def has_namespace(self, namespace: str) -> bool:
        """Whether there is such a namespace: the main one, or one with a handler."""
        return namespace in self._routes

    def add_namespace(self, namespace: str) -> None:
        """Let clients into a namespace, be there handlers in it or not."""
        self._routes.setdefault(namespace, {})

    def register(self, route: Route, namespace: str = MAIN) -> None:
        """Handle an event; in the place of a handler that it had before."""
        self._routes.setdefault(namespace, {})[route.event] = route
        self._observer.know_event(route.event)

    def register_default(self, route: Route) -> None:
        """Handle an event of the main namespace that has no handler yet."""
        self._routes[MAIN].setdefault(route.event, route)

    def dispatch(self, connection: Connection, name: str, arguments: list[Any]) -> Coroutine[Any, Any, Any] | Any:
        """Carry out an event: the answer to its acknowledgement, or a coroutine that returns it. Never raises."""
        route = self._routes[connection.namespace].get(name)
        run = _Run(self._observer, connection, route, name if route is not None else "other")
        try:
            # uvloop runs all connections of a listener in one context: what is set there, others would see.
            context = contextvars.copy_context()
            pending = context.run(run.check, name, arguments[0] if arguments else None)
            if pending is not None:
                return run.finish(pending, arguments)
            answer = context.run(run.call, arguments)
        except Exception as error:
            return run.fail(error)
        if not iscoroutine(answer):
            run.end(failed=False)
            return answer
        rest = run.finish_call(answer)
        if route is None or not route.steps or not self._locality.is_local:
            return rest
        stepped = step_coroutine(rest)
        return stepped.value if isinstance(stepped, Done) else stepped


def _refuse_unknown(connection: Connection, event: str, data: Any) -> None:
    """The check of an event that has no route."""
    # A new error each time: one that is raised again and again keeps the traceback of each time.
    raise EventRefused("UNKNOWN_EVENT", "There is no such event")


_NO_ROUTE: Final[tuple[EventGuard, ...]] = (_refuse_unknown,)


class _Run:
    """One event under way."""

    __slots__ = ("_connection", "_guards", "_label", "_name", "_observer", "_route", "_started")

    def __init__(self, observer: EventObserver, connection: Connection, route: Route | None, label: str) -> None:
        self._observer = observer
        self._connection = connection
        self._route = route
        self._label = label
        self._started = time.perf_counter()
        observer.event_received(label)

    def check(self, name: str, data: Any) -> Coroutine[Any, Any, None] | None:
        """Run the checks that stand before the handler; a coroutine if one of them has to wait."""
        guards = chain(self._connection.guards, _NO_ROUTE if self._route is None else self._route.guards)
        for guard in guards:
            pending = guard(self._connection, name, data)
            if pending is not None:
                return self._check_on(pending, guards, name, data)
        return None

    async def _check_on(self, pending: Awaitable[None], guards: Iterator[EventGuard], name: str, data: Any) -> None:
        """Await a check, then run those that are left."""
        await pending
        for guard in guards:
            further = guard(self._connection, name, data)
            if further is not None:
                await further

    def call(self, arguments: list[Any]) -> Any:
        """Call the handler; a coroutine if it is one."""
        route = self._route
        assert route is not None  # noqa: S101 `check` refuses it
        return route.call(self._connection, arguments)

    async def finish(self, pending: Awaitable[None], arguments: list[Any]) -> Any:
        """The rest of an event whose check has to wait."""
        try:
            await pending
            answer = self.call(arguments)
        except (Exception, asyncio.CancelledError) as error:
            return self._fail_or_end(error)
        if iscoroutine(answer):
            return await self.finish_call(answer)
        self.end(failed=False)
        return answer

    async def finish_call(self, pending: Awaitable[Any]) -> Any:
        """The rest of an event whose handler has to wait."""
        try:
            answer = await pending
        except (Exception, asyncio.CancelledError) as error:
            return self._fail_or_end(error)
        self.end(failed=False)
        return answer

    def _fail_or_end(self, error: BaseException) -> dict[str, Any]:
        """Answer what went wrong, unless this task is cancelled: then the server stops."""
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self.end(failed=True)
                raise error
        return self.fail(error)

    def fail(self, error: BaseException) -> dict[str, Any]:
        """Answer an event that was refused, or failed."""
        if isinstance(error, EventRefused):
            failed = error.reason == "UNAVAILABLE"
            self._observer.event_refused(self._label, error.reason)
            log.debug("event refused", connection_id=self._connection.id, event_name=self._label, reason=error.reason)
            answer = create_error_answer(error.reason, error.message, error.extra)
        else:
            failed = True
            log.error("event failed", connection_id=self._connection.id, event_name=self._label, exc_info=error)
            answer = create_error_answer("INTERNAL", "Something went wrong on the server; try again", {})
        self._connection.send("error", answer)
        self.end(failed=failed)
        return answer

    def end(self, *, failed: bool) -> None:
        """The event is done."""
        self._observer.event_handled(self._label, time.perf_counter() - self._started, failed)


def create_error_answer(reason: str, message: str, extra: dict[str, Any]) -> dict[str, Any]:
    """The payload of the contract's `error` event."""
    return {"code": "SUBSCRIPTION_ERROR", "reason": reason, "message": message, **extra}
