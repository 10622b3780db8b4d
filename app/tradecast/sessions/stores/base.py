"""What every session store can do. `tests/integration/sessions/stores/store_contract.py` is the contract as tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it lies in the store, not yet looked into.

    Attributes:
        id: The bare session id.
        data: The session's JSON, decoded if it is an object; the raw text where it is not JSON.
        expires_at: Unix time in seconds; None where the store knows of no end.
    """

    id: str
    data: Mapping[str, Any] | str
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class SessionChange:
    """Something happened to a session in the store, whoever did it. `id` None: anything may have (look again)."""

    id: str | None
    kind: Literal["deleted", "updated"]


Homes = Callable[[str], str]
"""Which instance of the store keeps a session, or would; "" where that is not known."""


class SessionStore(Protocol):
    """A place where sessions live. Every method raises `StoreUnavailable` when the place does not answer."""

    name: str

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

    async def homes(self) -> Homes | None:
        """Which instances keep what now; None for a store whose instances all have the same, whichever answers."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def close(self) -> None: ...
