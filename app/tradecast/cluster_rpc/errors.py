"""How a request to all servers fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class TooLarge(ValueError):
    """More than servers send each other in one request or answer. Nothing of it was sent."""


class Incomplete(Exception):
    """Not every server has done what was asked: the others have.

    Attributes:
        result: What the call would have returned, of the servers that answered.
        missing: Servers that did not answer in time.
        gone: Servers whose lease expired meanwhile. Killed, or isolated: then their clients may
            still be connected.
        failed: Servers that could not do it (or only a part of it), and why.
    """

    def __init__(
        self,
        result: Any,
        *,
        missing: frozenset[str] = frozenset(),
        gone: frozenset[str] = frozenset(),
        failed: Mapping[str, str] | None = None,
    ) -> None:
        self.result = result
        self.missing = missing
        self.gone = gone
        self.failed = dict(failed or {})
        parts = [f"{len(missing)} servers did not answer in time"] if missing else []
        parts += [f"{len(gone)} servers are gone"] if gone else []
        if self.failed:
            parts.append(f"{len(self.failed)} servers could not do it: {min(self.failed.values())}")
        super().__init__("; ".join(parts))  # without the result: it may hold sids, and this may be logged
