"""An address in front of a Redis whose connections can be cut, refused, frozen, and made to lose an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kit.network.proxy import Connection, Proxy
from kit.servers.redis_server import RedisServer


class RedisConnection(Connection):
    """One connection to Redis.

    Attributes:
        subscribes: Whether the client has sent SUBSCRIBE.
        frozen: What comes from Redis does not get through, and nothing else shows that.
        losing: Whether the next answer is lost, with the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.subscribes = False
        self.frozen = False
        self.losing = False


class RedisForwarder(Proxy[RedisConnection]):
    """Leads to one Redis at a time.

    Attributes:
        target: Where new connections go; None: they are refused.
        lose_answer_to: When a client sends this, Redis gets it, and the answer does not come back; once.
        lost: How many answers were lost.
    """

    scheme = "redis"

    def __init__(self, target: RedisServer | None) -> None:
        super().__init__(RedisConnection)
        self.target = target
        self.lose_answer_to: bytes | None = None
        self.lost = 0

    @property
    def url(self) -> str:
        return f"{super().url}/0"

    @property
    def subscription(self) -> RedisConnection:
        """The connection that is subscribed."""
        return next(one for one in self.connections if one.subscribes)

    def lead_to(self, target: RedisServer | None) -> None:
        """Lead to another Redis from now on, or nowhere; what there is is cut."""
        self.target = target
        self.cut()

    def find_servers(self, connection: RedisConnection) -> Sequence[str]:
        return [] if self.target is None else [f"redis://127.0.0.1:{self.target.port}"]

    async def carry(self, connection: RedisConnection, data: bytes, *, down: bool) -> None:
        if not down:
            connection.subscribes |= b"SUBSCRIBE" in data
            if self.lose_answer_to is not None and self.lose_answer_to in data:
                self.lose_answer_to = None
                connection.losing = True
        elif data and connection.losing:
            self.lost += 1
            connection.losing = False
            connection.cut()
            return
        elif connection.frozen:
            return
        await super().carry(connection, data, down=down)
