"""What this server answers itself to a request that it should relay, or that was relayed to it."""

from __future__ import annotations

from typing import Literal

from tradecast.engine.http.handshake import Refusal
from tradecast.engine.http.request import Header

Result = Literal["answered", "unknown", "unreachable", "timeout", "refused", "aborted", "busy", "invalid", "untrusted"]
"""What became of a request that is another server's: the label of a metric."""
# Those that say something about the owner, which the log reports.
OWNER_FAILURES: frozenset[Result] = frozenset({"unreachable", "timeout", "refused", "untrusted"})


class RelayFailed(Exception):
    """A request was not relayed, or the owner's answer did not come.

    Attributes:
        result: For the metric.
        refusal: The answer to the client.
        why: For the log; None: the result says it all.
    """

    def __init__(self, result: Result, status: int, code: str, message: str, why: str | None = None) -> None:
        super().__init__(message)
        self.result = result
        self.refusal = make_refusal(status, code, message)
        self.why = why


def server_busy() -> RelayFailed:
    """As many requests as there may be are under way."""
    return RelayFailed("busy", 503, "SERVER_BUSY", "Try again in a moment")


def owner_unknown() -> RelayFailed:
    """Redis does not answer, and the owner's address is not known."""
    return RelayFailed("unreachable", 503, "OWNER_UNKNOWN", "The server of this connection cannot be looked up")


def owner_unreachable() -> RelayFailed:
    """Nobody answers at the owner's address, or the owner broke the connection."""
    return RelayFailed("unreachable", 502, "OWNER_UNREACHABLE", "The server of this connection cannot be reached")


def owner_untrusted(why: str) -> RelayFailed:
    """What answers at the owner's address does not prove that it belongs to the fleet."""
    message = "The server of this connection cannot be trusted"
    return RelayFailed("untrusted", 502, "OWNER_UNTRUSTED", message, why)


def owner_late() -> RelayFailed:
    """The owner did not answer in time."""
    return RelayFailed("timeout", 504, "OWNER_TIMEOUT", "The server of this connection does not answer")


def owner_refused() -> RelayFailed:
    """The owner's internal port did not take the request."""
    message = "The server of this connection did not take the request"
    return RelayFailed("refused", 502, "OWNER_REFUSED", message)


def request_invalid(message: str, status: int = 400, code: str = "BAD_REQUEST") -> RelayFailed:
    """The request cannot be relayed, whoever owns the connection."""
    return RelayFailed("invalid", status, code, message)


def make_refusal(status: int, code: str, message: str, *headers: Header) -> Refusal:
    """An answer with a status, and with JSON that says why."""
    return Refusal.of(status, {"code": code, "message": message}, (b"cache-control", b"no-store"), *headers)
