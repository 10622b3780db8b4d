"""What both kinds of client offer: of one Redis (perhaps found by Sentinels), and of Redis Cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection

from tradecast.causes import Place

Command = tuple[str, Sequence[Any]]
"""A key, whose slot all keys of the command are in, and the command's words."""


class RedisTopology(ABC):
    """What depends on whether the keys are in one Redis or spread over a cluster.

    Every method that waits raises `redis.exceptions.RedisError` where Redis, or a part of it, is not reachable.

    Attributes:
        place: Where it is, without credentials, for logs and errors.
        is_cluster: Whether keys are spread over several nodes by their slots.
        database: Number of the database; a cluster has 0 only.
    """

    place: Place
    is_cluster: bool
    database: int

    @property
    @abstractmethod
    def first_host(self) -> tuple[str | None, int]:
        """Host and port to ask first; no host for a Unix socket."""

    @abstractmethod
    async def check(self) -> None:
        """Ask Redis, and of a cluster every part, whether it answers.

        Raises:
            PartsAway: Parts of a cluster do not; its `in_words` says how much.
        """

    @abstractmethod
    async def open_connection(self, key: str) -> AbstractConnection:
        """Open a connection to where a key is now, outside of the pool. Its owner closes it.

        Raises:
            redis.exceptions.ConnectionError: It cannot be reached.
        """

    @abstractmethod
    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands, pipelined; nothing holds them together.

        Returns:
            Their answers in order, with errors of Redis (`ResponseError`) among them.
        """

    @abstractmethod
    async def read_info(self) -> Mapping[str, Mapping[str, Any]]:
        """The answer to INFO of each master, by its address. Raises ResponseError without permission."""

    @abstractmethod
    async def read_run_ids(self) -> Callable[[str], str]:
        """For a key the `run_id` of the instance that has it now; "" where that is not known."""

    @abstractmethod
    def scan_keys(self, pattern: str, count: int) -> AsyncGenerator[Sequence[bytes | str], None]:
        """All keys of a pattern, some at a time; perhaps one more than once, and one that moves meanwhile never."""

    @abstractmethod
    async def read_many(self, keys: Sequence[str]) -> Sequence[Any]:
        """The text under each key; None where there is none, or something else."""

    @abstractmethod
    async def read_with_ttl(self, keys: Sequence[str]) -> tuple[Sequence[Any], Sequence[int]]:
        """As `read_many`, and the milliseconds that each key has left (PTTL)."""

    @abstractmethod
    async def find_existing(self, keys: Sequence[str]) -> Sequence[bool]:
        """Whether each key exists."""

    @abstractmethod
    async def delete_all(self, keys: Sequence[str]) -> int:
        """Delete keys; how many there were."""

    @abstractmethod
    async def vary_name(self, name: str, key: Callable[[str], str]) -> list[str]:
        """Names made of one, such that each master has the key of one of them; of one Redis the name itself.

        Args:
            name: What they begin with.
            key: The key that belongs to a name.
        """


def raise_errors(answers: Sequence[Any]) -> Sequence[Any]:
    """The answers of `RedisTopology.run_all`; the first error among them is raised."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers
