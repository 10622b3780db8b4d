"""How a connection or an event is refused, and how Redis fails."""

from __future__ import annotations

from typing import Any


class ConnectRefused(Exception):
    """A final refusal: the client gets CONNECT_ERROR with this message and data, and does not try again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class TryAgain(Exception):
    """A temporary refusal: the transport is closed, and a standard Socket.IO client reconnects."""


class EventRefused(Exception):
    """An event was refused; its sender gets `reason` and `message`.

    Args:
        reason: One of the contract's reasons (docs/client.md).
        message: For people; never holds a driver's text or another user's data.
        extra: More fields of the answer.
    """

    def __init__(self, reason: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.extra = extra


class AdapterUnavailable(Exception):
    """Redis could not be reached in time, or refused: what was to be published was not."""


class PublishUncertain(AdapterUnavailable):
    """Redis did not answer, so the event may have been published or not. Publishing it again may duplicate it."""


class HistoryLost(AdapterUnavailable):
    """Earlier events cannot be replayed: Redis has lost them."""


class SubscriptionDropped(ConnectionError):
    """This server drops its subscription: the connection works, but what it receives is useless."""


class NotSent(ConnectionError):
    """There was no connection to Redis, so nothing of the request was carried out."""
