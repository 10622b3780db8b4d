"""A server whose clients are the test's, for what requests to all servers do with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson

from tradecast.cluster_rpc.local_clients import Described, LocalClients
from tradecast.cluster_rpc.operations import Operations
from tradecast.cluster_rpc.responder import Outcome
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.packets.acks import Asked
from tradecast.packets.rooms import LocalManager
from tradecast.packets.socketio_packet import Packet


class Engine:
    def __init__(self) -> None:
        self.made = 0

    def generate_id(self) -> str:
        self.made += 1
        return f"sid{self.made}"


class FakeSocketServer:
    def __init__(self) -> None:
        self.eio = Engine()
        self.packet_class = Packet


class LocalServer:
    """A server's parts, as far as they are needed: sid1 and sid2 are connected, sid3 comes, sid4 has gone."""

    def __init__(self) -> None:
        self.manager = LocalManager()
        self.manager.set_server(FakeSocketServer())
        self.ended: list[str] = []
        self.asked: list[tuple[Any, ...]] = []
        self.unkept: set[str] = set()
        self.data: dict[str, Any] = {}
        self.clients = LocalClients(self, self.manager, self, self)
        self.events: list[tuple[str, int]] = []
        handlers = {"plain": lambda *args: [*args, b"\x00"], "object": lambda: object()}
        self.operations = Operations(self.clients, handlers, self)

    def event_emitted(self, event: str, recipients: int) -> None:
        self.events.append((event, recipients))

    def describe(self, sid: str) -> Described | None:
        return self.described(sid) if sid != "sid2" else None

    def count(self) -> int:
        return 2

    def count_user(self, user_id: str) -> int:
        return {"u1": 2}.get(user_id, 0)

    async def probe(self, user_id: str, patience: float) -> Sequence[tuple[str, float, bool]]:
        return ()

    def replace(self, user_id: str, connection_id: str) -> bool:
        return False

    def described(self, sid: str) -> Described:
        return Described(f"c-{sid}", "u1", "websocket", 5.0, {"issued": 5}, self.data)

    async def begin(self) -> None:
        for number in range(1, 5):
            sid = await self.manager.pre_connect(f"eio{number}", "/")
            assert sid == f"sid{number}"
            if number != 3:
                await self.manager.connect(sid, "/")
            await self.manager.enter_room(sid, "/", "all")
        self.manager.basic_disconnect("sid4", "/")
        await self.manager.enter_room("sid2", "/", "odd one")

    async def join(self, sid: str, room: str) -> None:
        if sid in self.unkept:
            raise AdapterUnavailable("away")
        await self.manager.enter_room(sid, "/", room)

    async def leave(self, sid: str, room: str) -> None:
        await self.manager.leave_room(sid, "/", room)

    def rooms_of(self, sid: str) -> frozenset[str]:
        return frozenset(self.manager.get_rooms(sid, "/")) - {sid}

    async def end(self, sid: str) -> None:
        self.ended.append(sid)

    async def ask(self, sids: Collection[str], event: str, arguments: list[Any], timeout: float) -> Asked:  # noqa: ASYNC109
        self.asked.append((list(sids), event, arguments, timeout))
        asked = Asked(1, [*sids, "large"])
        asked.take("sid1", ["yes"])
        asked.take("large", ["x" * 1_000_000])
        asked.end()
        return asked

    async def do(self, kind: str, body: Any) -> Outcome:
        return await self.operations.run(kind, orjson.loads(orjson.dumps(body)))
