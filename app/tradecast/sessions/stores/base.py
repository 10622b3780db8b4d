"""What every session store can do. `tests/integration/sessions/stores/store_contract.py` is the contract as tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a store holds of a session, not yet parsed.

    Attributes:
        id: The bare session id.
        data: The session's JSON, decoded if it is an object; the raw text where it is not JSON.
        expires_at: Unix time in seconds; None where the store has no end.
    """

    id: str
    data: Mapping[str, Any] | str
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A session was changed in the store, by whomever. `id` None: any session may have changed; read all again."""

    id: str | None
    kind: Literal["deleted", "updated"]


Instances = Callable[[str], str]
"""The instance of the store that keeps a session, or would keep it; "" where that is not known."""


class SessionStore(Protocol):
    """Where sessions are kept. Every method raises `StoreUnavailable` when the store does not answer.

    Attributes:
        name: As in settings and logs.
        is_local: Whether it is this process's memory, so that no request waits for anything.
    """

    name: str
    is_local: bool

    async def load(self, ids: Collection[str]) -> dict[str, SessionRecord]:
        """The sessions among `ids` that exist, expired ones included if they are still there. One round trip."""
        ...

    async def existing(self, ids: Collection[str]) -> set[str]:
        """Which of `ids` exist. Cheaper than `load`; used to notice deletions by polling."""
        ...

    async def save(self, session_id: str, data: Mapping[str, Any], expires_at: float) -> None:
        """Write a session, replacing one of the same id."""
        ...

    async def delete(self, ids: Sequence[str]) -> int:
        """Delete sessions; how many there were. Deleting what is not there is no error."""
        ...

    def list(self) -> AsyncIterator[SessionRecord]:
        """All sessions, in no order."""
        ...

    async def supports_changes(self) -> bool:
        """Whether `changes` works here (a MongoDB replica set, or memory)."""
        ...

    def changes(self) -> AsyncGenerator[SessionChange, None]:
        """Deletions and updates as they happen, until cancelled.

        The first item is `SessionChange(None, "updated")`, given when the stream is established: whatever happened
        before it may have been missed. Raises `StoreUnavailable` when the stream breaks; ends when the store ends it
        for another reason, such as a dropped collection, and can be opened again then. Close it (`aclose`).
        """
        ...

    async def instances(self) -> Instances | None:
        """Which instances keep which session now; None for a store whose instances all have the same sessions."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None: ...
