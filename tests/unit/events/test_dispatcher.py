"""From an event to its handler: arguments, checks, answers, failures, and whose context a handler runs in."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import Callable
from inspect import iscoroutine
from typing import Any

import pytest
import structlog.testing

from tradecast.connections.connection import Connection
from tradecast.delivery.errors import EventRefused
from tradecast.events import dispatcher
from tradecast.events.dispatcher import Dispatcher, Handler, Route

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Channel:
    """A connection's way out, which only notes."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any]] = []

    def send(self, sid: str, event: str, data: Any) -> None:
        self.sent.append((event, data))

    async def join(self, sid: str, *rooms: str, recent: int = 0) -> None:
        raise AssertionError

    async def read_recent(self, room: str, count: int) -> None:
        raise AssertionError

    async def leave(self, sid: str, room: str) -> None:
        raise AssertionError

    def rooms(self, sid: str) -> set[str]:
        raise AssertionError

    def is_in(self, sid: str, room: str) -> bool:
        raise AssertionError


class Metrics:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def know_event(self, event: str) -> None:
        self.told.append(("know", event))

    def event_received(self, event: str) -> None:
        self.told.append(("received", event))

    def event_refused(self, event: str, reason: str) -> None:
        self.told.append(("refused", event, reason))

    def event_handled(self, event: str, seconds: float, failed: bool) -> None:
        assert seconds >= 0
        self.told.append(("handled", event, "failed" if failed else "ok"))


class Waits:
    """Says whether anything has to be waited for."""

    is_local = False


class Case:
    """A dispatcher, and a client of it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.waits = Waits()
        self.dispatcher = Dispatcher(self.metrics, self.waits)
        self.channel = Channel()
        self.client = self.connect()

    def connect(self, namespace: str = "/") -> Connection:
        return Connection("sid", "id", self.channel, claims=None, connected_at=0, namespace=namespace)

    def on(self, handler: Handler, *guards: Any, event: str = "e", namespace: str = "/") -> None:
        self.dispatcher.register(Route(event, handler, guards), namespace)

    async def ask(self, *arguments: Any, event: str = "e", client: Connection | None = None) -> Any:
        """Send an event; what goes to its acknowledgement."""
        answer = self.dispatcher.dispatch(client or self.client, event, list(arguments))
        return await answer if iscoroutine(answer) else answer

    @property
    def last(self) -> tuple[str, ...]:
        return self.metrics.told[-1]


@pytest.fixture
def case() -> Case:
    return Case()


# -- arguments


Arity = tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]


def none(connection: Connection) -> Any:
    return ()


def one(connection: Connection, a: Any) -> Any:
    return (a,)


def two(connection: Connection, a: Any, b: Any) -> Any:
    return (a, b)


def defaults(connection: Connection, a: Any = 7, b: Any = 8) -> Any:
    return (a, b)


def all_of_them(connection: Connection, *arguments: Any) -> Any:
    return arguments


def first_and_rest(connection: Connection, a: Any, *rest: Any) -> Any:
    return (a, rest)


def with_options(connection: Connection, a: Any, *, option: Any = 9) -> Any:
    return (a, option)


class Bound:
    """A handler that is a method."""

    def method(self, connection: Connection, a: Any, b: Any) -> Any:
        return (a, b)


CASES: list[Arity] = [
    (none, (), ()),
    (none, (1, 2), ()),
    (one, (), (None,)),
    (one, (1,), (1,)),
    (one, (1, 2), (1,)),
    (one, ([1, 2],), ([1, 2],)),
    (two, (), (None, None)),
    (two, (1,), (1, None)),
    (two, (1, 2), (1, 2)),
    (two, (1, 2, 3), (1, 2)),
    (two, (None, 2), (None, 2)),
    (defaults, (1, 2), (1, 2)),
    (all_of_them, (), ()),
    (all_of_them, (1, None, 3), (1, None, 3)),
    (first_and_rest, (1,), (1, ())),
    (first_and_rest, (1, 2, 3), (1, (2, 3))),
    (with_options, (1, 2), (1, 9)),
    (Bound().method, (1, 2, 3), (1, 2)),
]


@pytest.mark.parametrize(("handler", "sent", "got"), CASES)
async def test_handler_gets_as_many_arguments_as_it_takes(
    case: Case, handler: Callable[..., Any], sent: tuple[Any, ...], got: tuple[Any, ...]
) -> None:
    case.on(handler)
    assert await case.ask(*sent) == got


async def test_coroutine_function_gets_them_too(case: Case) -> None:
    async def handler(connection: Connection, a: Any, b: Any) -> Any:
        return [a, b]

    case.on(handler)
    assert await case.ask(1) == [1, None]
    assert await case.ask(1, 2, 3) == [1, 2]


async def test_handler_without_enough_arguments_for_a_variadic_one_is_a_failure_of_the_handler(case: Case) -> None:
    case.on(first_and_rest)
    assert (await case.ask())["reason"] == "INTERNAL"


async def test_handler_gets_the_connection(case: Case) -> None:
    case.on(lambda connection, data: connection is case.client)
    assert await case.ask(1) is True


# -- answers


@pytest.mark.parametrize("answer", [None, (), (1, 2), (None,), [1], {"a": 1}, 0, "", b"\x00"])
async def test_answer_is_what_the_handler_returns(case: Case, answer: Any) -> None:
    async def handler(connection: Connection) -> Any:
        await asyncio.sleep(0)
        return answer

    case.on(lambda connection: answer)
    case.on(handler, event="async")
    assert await case.ask() == answer
    assert await case.ask(event="async") == answer


def test_plain_handler_runs_at_once(case: Case) -> None:
    ran: list[int] = []
    case.on(lambda connection, data: ran.append(data))
    assert case.dispatcher.dispatch(case.client, "e", [1]) is None
    assert ran == [1]
    assert case.metrics.told == [("know", "e"), ("received", "e"), ("handled", "e", "ok")]


async def test_plain_handler_may_return_a_coroutine(case: Case) -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return "done"

    case.on(lambda connection: later())
    assert await case.ask() == "done"
    assert case.last == ("handled", "e", "ok")


# -- namespaces and names


async def test_handlers_belong_to_their_namespace(case: Case) -> None:
    case.on(lambda connection: "main")
    case.on(lambda connection: "custom", namespace="/custom")
    assert await case.ask() == "main"
    assert await case.ask(client=case.connect("/custom")) == "custom"
    case.on(lambda connection: "only", event="only", namespace="/custom")
    assert (await case.ask(event="only"))["reason"] == "UNKNOWN_EVENT"


def test_namespaces(case: Case) -> None:
    case.dispatcher.add_namespace("/empty")
    case.on(none, namespace="/custom")
    case.dispatcher.add_namespace("/custom")  # its handlers stay
    assert [case.dispatcher.has_namespace(name) for name in ("/", "/empty", "/custom", "/other", "")] == [
        *(True, True, True),
        *(False, False),
    ]
    assert case.dispatcher.dispatch(case.connect("/custom"), "e", []) == ()


async def test_default_handler_does_not_replace_one(case: Case) -> None:
    case.on(lambda connection: "own")
    case.dispatcher.register_default(Route("e", lambda connection: "default"))
    case.dispatcher.register_default(Route("f", lambda connection: "default"))
    assert (await case.ask(), await case.ask(event="f")) == ("own", "default")


@pytest.mark.parametrize("name", ["no:such:event", "", "connect", "disconnect", "__init__"])
async def test_unknown_event_is_answered_and_its_name_is_no_label(case: Case, name: str) -> None:
    answer = await case.ask(1, event=name)
    assert (answer["code"], answer["reason"]) == ("SUBSCRIPTION_ERROR", "UNKNOWN_EVENT")
    assert case.channel.sent == [("error", answer)]
    assert case.metrics.told == [
        ("received", "other"),
        ("refused", "other", "UNKNOWN_EVENT"),
        ("handled", "other", "ok"),
    ]


# -- checks


class Guard:
    """A check that notes what it was asked, and refuses if it is told to."""

    def __init__(self, order: list[str], name: str, *, waits: bool, refuses: bool = False) -> None:
        self._order = order
        self._name = name
        self._waits = waits
        self._refuses = refuses

    def __call__(self, connection: Connection, event: str, data: Any) -> Any:
        return self._later(event, data) if self._waits else self._check(event, data)

    async def _later(self, event: str, data: Any) -> None:
        await asyncio.sleep(0)
        self._check(event, data)

    def _check(self, event: str, data: Any) -> None:
        self._order.append(f"{self._name} {event} {data}")
        if self._refuses:
            raise EventRefused("TIER_REQUIRED", "No")


WAITS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.mark.parametrize(("first_waits", "second_waits"), WAITS)
@pytest.mark.parametrize("handler_waits", [False, True])
async def test_checks_of_the_connection_come_first_and_all_before_the_handler(
    case: Case, first_waits: bool, second_waits: bool, handler_waits: bool
) -> None:
    order: list[str] = []

    async def slow(connection: Connection, data: Any) -> str:
        await asyncio.sleep(0)
        order.append("handler")
        return "answer"

    def quick(connection: Connection, data: Any) -> str:
        order.append("handler")
        return "answer"

    for name, waits in (("a", first_waits), ("b", second_waits)):
        case.client.use(Guard(order, name, waits=waits))
    own = [Guard(order, name, waits=waits) for name, waits in (("c", first_waits), ("d", second_waits))]
    case.on(slow if handler_waits else quick, *own)
    assert await case.ask(1, 2) == "answer"
    assert order == ["a e 1", "b e 1", "c e 1", "d e 1", "handler"]
    assert case.metrics.told[1:] == [("received", "e"), ("handled", "e", "ok")]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("place", range(4))
async def test_check_that_refuses_ends_it(case: Case, waits: bool, place: int) -> None:
    order: list[str] = []
    guards = [Guard(order, str(n), waits=waits, refuses=n == place) for n in range(4)]
    case.client.use(guards[0])
    case.client.use(guards[1])
    case.on(lambda connection: order.append("handler"), *guards[2:])
    answer = await case.ask("x")
    assert answer == {"code": "SUBSCRIPTION_ERROR", "reason": "TIER_REQUIRED", "message": "No"}
    assert case.channel.sent == [("error", answer)]
    assert order == [f"{n} e x" for n in range(place + 1)]
    assert case.metrics.told[1:] == [("received", "e"), ("refused", "e", "TIER_REQUIRED"), ("handled", "e", "ok")]


@pytest.mark.parametrize("waits", [False, True])
async def test_connection_s_checks_count_unknown_events_too(case: Case, waits: bool) -> None:
    """Else a flood of events that do not exist would be free."""
    order: list[str] = []
    case.client.use(Guard(order, "limit", waits=waits))
    assert (await case.ask(1, event="nothing"))["reason"] == "UNKNOWN_EVENT"
    assert order == ["limit nothing 1"]


async def test_check_without_an_argument_is_given_none(case: Case) -> None:
    order: list[str] = []
    case.on(none, Guard(order, "a", waits=False))
    await case.ask()
    assert order == ["a e None"]


# -- failures


@pytest.mark.parametrize("waits", [False, True])
async def test_failed_handler_is_answered_without_its_text(case: Case, waits: bool) -> None:
    async def slow(connection: Connection) -> Any:
        await asyncio.sleep(0)
        raise RuntimeError("planted secret")

    def quick(connection: Connection) -> Any:
        raise RuntimeError("planted secret")

    case.on(slow if waits else quick)
    with structlog.testing.capture_logs() as lines:
        answer = await case.ask()
    assert answer["reason"] == "INTERNAL"
    assert "planted" not in str(answer)
    assert case.channel.sent == [("error", answer)]
    assert case.last == ("handled", "e", "failed")
    assert [line["log_level"] for line in lines] == ["error"]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(("reason", "outcome"), [("INVALID_PAYLOAD", "ok"), ("UNAVAILABLE", "failed")])
async def test_handler_may_refuse(case: Case, waits: bool, reason: str, outcome: str) -> None:
    async def slow(connection: Connection) -> Any:
        await asyncio.sleep(0)
        raise EventRefused(reason, "Sentence", symbols=[])

    def quick(connection: Connection) -> Any:
        raise EventRefused(reason, "Sentence", symbols=[])

    case.on(slow if waits else quick)
    answer = await case.ask()
    assert answer == {"code": "SUBSCRIPTION_ERROR", "reason": reason, "message": "Sentence", "symbols": []}
    assert case.metrics.told[-2:] == [("refused", "e", reason), ("handled", "e", outcome)]


async def test_failed_check_is_a_failure_of_the_event(case: Case) -> None:
    def fails(connection: Connection, event: str, data: Any) -> None:
        raise KeyError("planted")

    case.on(none, fails)
    assert (await case.ask())["reason"] == "INTERNAL"
    assert case.last == ("handled", "e", "failed")


async def test_cancelled_handler_is_reported_and_stays_cancelled(case: Case) -> None:
    async def waits(connection: Connection) -> None:
        await asyncio.Event().wait()

    case.on(waits)
    task = asyncio.ensure_future(case.ask())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert case.last == ("handled", "e", "failed")


# -- whose context


def test_what_a_plain_handler_sets_nobody_else_sees(case: Case) -> None:
    """Under uvloop all connections of a listener are called in one context."""

    def handler(connection: Connection, name: Any) -> str:
        before = WHO.get()
        WHO.set(name)
        return before

    case.on(handler)
    other = case.connect()
    assert case.dispatcher.dispatch(case.client, "e", ["a"]) == "nobody"
    assert case.dispatcher.dispatch(other, "e", ["b"]) == "nobody"
    assert case.dispatcher.dispatch(case.client, "e", ["a"]) == "nobody"
    assert WHO.get() == "nobody"


async def test_what_a_coroutine_sets_nobody_else_sees(case: Case) -> None:
    async def handler(connection: Connection, name: Any) -> str:
        before = WHO.get()
        WHO.set(name)
        await asyncio.sleep(0)
        assert WHO.get() == name
        return before

    case.on(handler)
    # each in a task of its own, as the engine runs them
    answers = await asyncio.gather(*(asyncio.ensure_future(case.ask(name)) for name in "abc"))
    assert answers == ["nobody"] * 3
    assert WHO.get() == "nobody"


def test_what_a_plain_check_sets_nobody_else_sees(case: Case) -> None:
    def guard(connection: Connection, event: str, data: Any) -> None:
        WHO.set(data)

    case.client.use(guard)
    case.on(lambda connection, data: None)
    case.dispatcher.dispatch(case.client, "e", ["a"])
    seen = WHO.get()
    WHO.set("nobody")
    assert seen == "nobody"


async def test_timeouts_and_task_groups_work_in_coroutines(case: Case) -> None:
    async def late(connection: Connection) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "?"

    async def group(connection: Connection) -> list[int]:
        async def number(n: int) -> int:
            await asyncio.sleep(0)
            return n

        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(number(n)) for n in range(3)]
        return [task.result() for task in made]

    async def failing_group(connection: Connection) -> None:
        async def fail() -> None:
            raise RuntimeError("planted")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            tasks.create_task(asyncio.Event().wait())

    case.on(late, event="late")
    case.on(group, event="group")
    case.on(failing_group, event="failing")
    assert await case.ask(event="late") == "late"
    assert await case.ask(event="group") == [0, 1, 2]
    assert (await case.ask(event="failing"))["reason"] == "INTERNAL"


# -- the contract's own handlers, which run without a task as far as they go


async def stepped(connection: Connection, data: Any) -> Any:
    if data == "wait":
        await asyncio.sleep(0)
    if data == "fail":
        raise EventRefused("INVALID_PAYLOAD", "No")
    return data


@pytest.mark.parametrize("local", [False, True])
def test_handler_that_waits_for_nothing_is_done_at_once_where_all_is_local(case: Case, local: bool) -> None:
    case.waits.is_local = local
    case.dispatcher.register(Route("e", stepped, steps=True))
    answer = case.dispatcher.dispatch(case.client, "e", [5])
    assert iscoroutine(answer) is not local
    assert (asyncio.run(answer) if iscoroutine(answer) else answer) == 5
    assert case.metrics.told[1:] == [("received", "e"), ("handled", "e", "ok")]


def test_refusal_of_one_that_waits_for_nothing_is_answered_at_once(case: Case) -> None:
    case.waits.is_local = True
    case.dispatcher.register(Route("e", stepped, steps=True))
    answer = case.dispatcher.dispatch(case.client, "e", ["fail"])
    assert isinstance(answer, dict)
    assert answer["reason"] == "INVALID_PAYLOAD"
    assert case.last == ("handled", "e", "ok")


async def test_handler_that_waits_after_all_is_awaited(case: Case) -> None:
    case.waits.is_local = True
    case.dispatcher.register(Route("e", stepped, steps=True))
    answer = case.dispatcher.dispatch(case.client, "e", ["wait"])
    assert case.metrics.told[1:] == [("received", "e")]
    assert await answer == "wait"
    assert case.metrics.told[1:] == [("received", "e"), ("handled", "e", "ok")]


def test_handler_of_somebody_else_s_is_never_run_without_a_task(case: Case) -> None:
    case.waits.is_local = True
    case.on(stepped)
    answer = case.dispatcher.dispatch(case.client, "e", [5])
    assert iscoroutine(answer)
    assert asyncio.run(answer) == 5


async def test_refused_events_leave_nothing_behind(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is raised a second time keeps the traceback of the first, with all that its frames hold."""
    depths: list[int] = []
    fail = dispatcher._Run.fail

    def look(run: dispatcher._Run, error: BaseException) -> dict[str, Any]:
        depths.append(len(list(traceback.walk_tb(error.__traceback__))))
        return fail(run, error)

    monkeypatch.setattr(dispatcher._Run, "fail", look)
    for _ in range(5):
        assert (await case.ask(event="nothing"))["reason"] == "UNKNOWN_EVENT"
    assert len(set(depths)) == 1
