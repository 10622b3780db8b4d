"""Context variables that handlers set: nobody else's handler sees them."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from integration.gateway.test_clients import Client
from kit.servers.in_process import MakeServer
from kit.waiting import eventually
from tradecast.connections.connection import Connection

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


async def test_packets_that_waited_see_nothing_of_the_handler_before(make_server: MakeServer) -> None:
    seen: list[str] = []

    async def write(connection: Connection, data: Any) -> None:
        WHO.set("the first")
        await asyncio.sleep(0)

    async def read(connection: Connection, data: Any) -> None:
        seen.append(WHO.get())

    def read_at_once(connection: Connection, data: Any) -> None:
        seen.append(WHO.get())

    def prepare(app: Any) -> None:
        for handler in (write, read, read_at_once):
            app.register_event_handler(handler.__name__, handler)

    server = await make_server(prepare, auth_required=False)
    client = Client(server)
    client.connect({})
    await client.connected()
    client.say('42["write"]', '42["read"]', '42["read_at_once"]', '42["read"]')
    await eventually(lambda: len(seen) == 3)
    assert seen == ["nobody"] * 3
