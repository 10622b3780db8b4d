"""What the contract's tests share: how to ask, and what every answer looks like."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from kit.clients.interface import Client
from tradecast.server import WebSocketServer

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
FAST: dict[str, Any] = {"reconnectionDelay": 30, "reconnectionDelayMax": 100, "randomizationFactor": 0}
"""Options of clients that come back soon."""

Session = Mapping[str, Any]
Connect = Callable[..., Awaitable[Client]]
"""`await connect(server, session, **options)`: a connected client of the kind under test."""


class Server(Protocol):
    """The `server` fixture."""

    url: str
    admin_url: str
    app: WebSocketServer

    async def session(
        self,
        user_id: str,
        tier: str = "premium",
        is_admin: bool = False,
        name: str = ...,
        email: str = ...,
        max_age: float = 3600,
    ) -> Session: ...


MakeServer = Callable[..., Awaitable[Server]]


def assert_timestamp(value: Any) -> None:
    """ISO 8601, UTC, milliseconds, and of now."""
    assert isinstance(value, str)
    assert TIMESTAMP.fullmatch(value), value
    age = datetime.now(UTC) - datetime.fromisoformat(value)
    assert abs(age.total_seconds()) < 120


def assert_payload(payload: Any, expected: dict[str, Any]) -> None:
    """Exactly the expected keys and values, and a timestamp."""
    assert isinstance(payload, dict)
    assert_timestamp(payload.get("timestamp"))
    assert {key: value for key, value in payload.items() if key != "timestamp"} == expected


async def ask(client: Client, event: str, *args: Any) -> dict[str, Any]:
    """Send an event with an acknowledgement; the answer, which must have come as an event too."""
    answers = await client.call(event, *args)
    assert len(answers) == 1, answers
    answer = answers[0]
    assert isinstance(answer, dict)
    told = await client.wait_for(answer_event(event) if answer.get("success") else "error", lambda got: got == answers)
    assert told == answers
    return answer


async def ask_without_ack(client: Client, event: str, *args: Any) -> dict[str, Any]:
    """Send an event without an acknowledgement; the answer, which comes as an event."""
    success = answer_event(event)
    seen = len(client.events(success)), len(client.events("error"))
    await client.emit(event, *args)
    await barrier(client)
    answers = client.events(success)[seen[0] :]
    # the barrier is answered by an error as well, the last
    answers += client.events("error")[seen[1] : -1]
    ((answer,),) = answers
    assert isinstance(answer, dict)
    return answer


async def refusal(client: Client, event: str, *args: Any) -> tuple[str, str]:
    """Send what must be refused; reason and message. The answer has the contract's shape."""
    answer = await ask(client, event, *args)
    assert_error(answer)
    return answer["reason"], answer["message"]


def assert_error(answer: Any, reason: str | None = None) -> None:
    """The contract's shape of an error, without anything internal in it."""
    assert isinstance(answer, dict)
    assert answer["code"] == "SUBSCRIPTION_ERROR", answer
    assert set(answer) - {"symbols", "failed"} == {"code", "reason", "message"}, answer
    assert isinstance(answer["message"], str)
    assert 5 < len(answer["message"]) < 200
    assert not re.search(r"Traceback|Error\(|Exception|\.py|0x[0-9a-f]+|NoneType", answer["message"]), answer
    if reason is not None:
        assert answer["reason"] == reason, answer


def answer_event(event: str) -> str:
    """The event that confirms another."""
    verb, _, rest = event.partition(":")
    return {
        "subscribe": f"subscribed:{rest}",
        "unsubscribe": f"unsubscribed:{rest}",
        "admin": "admin:broadcasted",
        "session": "session:refreshed",
        "notifications": event,
    }.get(verb, "no such answer")


async def barrier(*clients: Client) -> None:
    """Until each client has all that was sent to it before.

    An event that does not exist is answered, and packets to one client keep their order.
    """
    for client in clients:
        (answer,) = await client.call("test:barrier")
        assert answer["reason"] == "UNKNOWN_EVENT", answer


async def assert_alive(client: Client) -> None:
    """The client is connected and is served."""
    assert client.connected
    await barrier(client)


def names_of(client: Client, ignore: Iterable[str] = ("error",)) -> list[str]:
    """Names of all events that a client got, answers to `barrier` left out."""
    return [name for name in client.event_names() if name not in ignore]
