"""What requests to all servers return. Whoever logs one shows no sid, no user and nothing that a client said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RemoteSocket:
    """A client of any server, as it was when that server answered.

    Attributes:
        sid: Its Socket.IO id. Not to be logged or shown.
        server: The server that holds its connection.
        connection_id: Its short id, made for logs.
        user_id: Whose it is; None for an anonymous client.
        rooms: The rooms it is in, its own left out.
        transport: `websocket` or `polling`; "" if it is going.
        connected_at: Since when, in seconds since 1970, by that server's clock.
    """

    sid: str = field(repr=False)
    server: str
    connection_id: str
    user_id: str | None = field(repr=False)
    rooms: frozenset[str] = field(repr=False)
    transport: str
    connected_at: float


@dataclass(frozen=True, slots=True)
class ClientAnswer:
    """A client's acknowledgement.

    Attributes:
        sid: Whose.
        server: The server that holds its connection.
        data: What it said: None, a value, or a tuple of several. A client's own choice.
    """

    sid: str = field(repr=False)
    server: str
    data: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of an event that asked for acknowledgements.

    Attributes:
        answers: Of the clients that answered.
        silent: Clients (sids) that got it and did not answer in time, or went before.
        refused: Clients whose answers are not taken: too large, or nested too deeply.
        missing: Servers that did not answer in time: of their clients nothing is known.
        gone: Servers that have died meanwhile: the same.
        failed: Servers that could not send it, and why.
    """

    answers: list[ClientAnswer] = field(default_factory=list)
    silent: list[str] = field(default_factory=list, repr=False)
    refused: list[str] = field(default_factory=list, repr=False)
    missing: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all clients of all servers have answered."""
        return not (self.silent or self.refused or self.missing or self.gone or self.failed)
