"""A server that misbehaves on purpose: what `tradecast load` must notice cannot be had from the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from kit.network.aiohttp_server import close_runner
from tradecast.load.client import Credential
from tradecast.load.run import LoadOptions

Deliver = Callable[["Peer", dict[str, Any]], list[dict[str, Any]]]
"""Which events a peer gets in place of one: none, one, several, other ones."""


@dataclass(eq=False)
class Peer:
    """A connected client."""

    socket: web.WebSocketResponse
    number: int
    user_id: str = ""
    rooms: set[tuple[str, str]] = field(default_factory=set)
    received: list[str] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)

    async def send_event(self, event: dict[str, Any], *trailing: str) -> None:
        payload = {key: value for key, value in event.items() if key != "event"}
        await self.socket.send_str("42" + json.dumps([event["event"], payload, *trailing]))


class Scripted:
    """The least of the contract, with a hook wherever something can go wrong."""

    def __init__(self) -> None:
        self.url = ""
        self.peers: list[Peer] = []
        self.handshakes = 0
        self.connects: list[dict[str, Any]] = []
        self.subscribed: list[str] = []
        self.posts: list[list[dict[str, Any]]] = []
        self.tokens: set[str] = set()
        self.busy = 0
        self.refuse: dict[str, str] = {}
        self.hang_up: set[str] = set()
        self.fail: dict[str, str] = {}
        self.failed_symbols: list[str] = []
        self.connect_data: Callable[[Peer], dict[str, Any]] = lambda peer: {"sid": f"s{peer.number}"}
        self.ping_interval_ms = 25_000
        self.ping_timeout_ms = 60_000
        self.deliver: Deliver = lambda peer, event: [event]
        self.emit_status: Callable[[int], int] = lambda number: 200
        self.after_post: Callable[[int], Any] = lambda number: None
        self.joined = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/socket.io/", self._socket)
        app.router.add_post("/api/emit", self._emit)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        for peer in list(self.peers):
            await peer.socket.close()
        if self._runner is not None:
            await close_runner(self._runner)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.handshakes += 1
        if self.busy > 0:
            self.busy -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        handshake = {"sid": "e", "pingInterval": self.ping_interval_ms, "pingTimeout": self.ping_timeout_ms}
        await socket.send_str("0" + json.dumps(handshake))
        peer = Peer(socket, self.handshakes)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    peer.received.append(message.data)
                    await self._packet(peer, message.data)
        finally:
            if peer in self.peers:
                self.peers.remove(peer)
        return socket

    async def _packet(self, peer: Peer, text: str) -> None:
        if text.startswith("40"):
            auth = json.loads(text[2:])
            self.connects.append(auth)
            peer.user_id = auth["userId"]
            if peer.user_id in self.hang_up:
                await peer.socket.close()
                return
            if peer.user_id in self.refuse:
                error = {"message": "no", "data": {"code": self.refuse[peer.user_id]}}
                await peer.socket.send_str("44" + json.dumps(error))
                return
            peer.rooms.add(("notification", peer.user_id))
            await peer.socket.send_str("40" + json.dumps(self.connect_data(peer)))
            self.peers.append(peer)
            self.joined.set()
        elif text.startswith("42"):
            digits = text[2 : text.index("[")]
            event, payload = json.loads(text[2 + len(digits) :])
            self.subscribed.append(event)
            if event in self.fail:
                answer: dict[str, Any] = {"code": "SUBSCRIPTION_ERROR", "reason": self.fail[event], "message": "no"}
            else:
                answer = {"success": True, "failed": [{"symbol": s, "reason": "X"} for s in self.failed_symbols]}
                for symbol in payload.get("symbols", ()):
                    if symbol not in self.failed_symbols:
                        peer.rooms.add(("watchlist:quote", symbol))
                if event == "subscribe:trades":
                    peer.rooms.add(("trade:executed", peer.user_id))
            await peer.socket.send_str(f"43{digits}{json.dumps([answer])}")

    async def _emit(self, request: web.Request) -> web.Response:
        self.tokens.add(request.headers.get("authorization", ""))
        events = (await request.json())["events"]
        number = len(self.posts)
        self.posts.append(events)
        status = self.emit_status(number)
        if status == 200:
            for event in events:
                room = (event["event"], event.get("symbol") or event.get("userId"))
                for peer in list(self.peers):
                    for sent in self.deliver(peer, event) if room in peer.rooms else ():
                        await peer.send_event(sent)
        await asyncio.sleep(0)
        result = self.after_post(number)
        if result is not None:
            await result
        return web.json_response({}, status=status)


USERS = [Credential(f"session-{number}", f"u{number}") for number in range(4)]


def options(server: Scripted, **changes: Any) -> LoadOptions:
    """Those of a short run of four clients against such a server."""
    chosen: dict[str, Any] = {
        "clients": 4,
        "duration": 0.5,
        "rate": 100,
        "symbols": ("AAPL", "IBM"),
        "token": "t",
        "drain": 20,
        "settle": 20,
        **changes,
    }
    return LoadOptions(server.url, USERS, **chosen)
