"""A connection for requests to one instance of Redis, which is identified by its `run_id`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ClusterDownError, MovedError, NoScriptError, ReadOnlyError, RedisError, ResponseError

from tradecast.delivery.errors import NotSent
from tradecast.redis_client.script import Script

Argument = str | bytes | int
RUN_ID = 8


class Connector(Protocol):
    """Knows where a partition is."""

    async def connect(self) -> AbstractConnection:
        """Make sure that there is an open connection to the partition. Raises ConnectionError."""
        ...


class ScriptRequest(Protocol):
    """A script to run, with arguments that may depend on the instance of Redis that runs it."""

    def encode(self, instance: str) -> tuple[Script, Sequence[Argument]]:
        """The script, and what follows its digest in the request: the number of keys, the keys, and the arguments.

        Args:
            instance: The instance's name; "" if it is not known.
        """
        ...


async def open_connection(connector: Connector) -> tuple[AbstractConnection, str]:
    """Open a connection. Returns it, and the instance of Redis: the start of its `run_id`, "" if unknown.

    A subscription that stays with a master that has become a replica receives events late or never, and nothing else
    shows that.
    """
    connection = await connector.connect()
    try:
        await connection.send_command("INFO", "server", check_health=False)
        text = await connection.read_response()
    except ResponseError:  # no permission
        return connection, ""
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    if not isinstance(text, bytes):
        return connection, ""
    for line in text.decode("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return connection, value[:RUN_ID]
    return connection, ""


def _needs_another_instance(reply: object) -> bool:
    """Whether another instance may be the master now.

    A master that no replica follows any more does not know that yet, nor one that has lost the rest of its cluster.
    """
    if isinstance(reply, ReadOnlyError | MovedError | ClusterDownError):
        return True
    return isinstance(reply, ResponseError) and str(reply).startswith("NOREPLICAS")


class ScriptConnection:
    """Runs scripts on a connection that is opened on demand. One caller at a time: a `BatchQueue`.

    Attributes:
        instance: The instance at the other end; "" without a connection, or if it is not known.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection: AbstractConnection | None = None
        self.instance = ""

    async def run_all(self, requests: Sequence[ScriptRequest]) -> list[Any]:
        """Run scripts in one round trip. Returns a reply or an exception for each.

        Raises:
            NotSent: There is no connection.
            RedisError, OSError: The connection is lost; it is not known what was carried out.
        """
        try:
            if self._connection is None:
                try:
                    self._connection, self.instance = await open_connection(self._connector)
                except (
                    Exception
                ) as error:  # redis-py's client of a cluster in trouble raises some that are no RedisError
                    raise NotSent(type(error).__name__) from error
                # The batch queue bounds each try. redis-py would make a task and two timers for each request.
                self._connection.socket_timeout = None
            made = [request.encode(self.instance) for request in requests]
            replies = await self._exchange([("EVALSHA", script.digest, *rest) for script, rest in made])
            missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if missing:
                again = await self._exchange([("EVAL", made[i][0].source, *made[i][1]) for i in missing])
                for i, reply in zip(missing, again, strict=True):
                    replies[i] = reply
        except BaseException:  # a cancelled exchange as well: replies would be taken for those of the next
            await self.close()
            raise
        if any(map(_needs_another_instance, replies)):
            await self.close()  # the next one leads to who is in charge now
        return replies

    async def _exchange(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        connection = self._connection
        if connection is None:
            raise ConnectionError("connection closed")
        packed = connection.pack_commands(commands)
        await connection.send_packed_command(packed, check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response(disconnect_on_error=False))
            except ResponseError as error:
                replies.append(error)
        return replies

    async def close(self) -> None:
        connection, self._connection, self.instance = self._connection, None, ""
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                await asyncio.shield(connection.disconnect(nowait=True))
