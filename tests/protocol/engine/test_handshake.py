"""Engine.IO v4: how a session begins, and what is refused."""

from __future__ import annotations

import pytest

from kit.clients.raw import (
    POLLING,
    WEBSOCKET,
    Polling,
    WebSocket,
    Wire,
    head_of,
    request,
    websocket_head,
)
from kit.servers.in_process import MakeServer, RunningServer
from protocol.engine.heads import LARGE


async def test_over_polling(open_server: RunningServer) -> None:
    answer = await request(open_server.url, head_of("GET", POLLING))
    assert answer.status == 200
    assert answer.headers["content-type"].replace(" ", "").lower() == "text/plain;charset=utf-8"
    assert answer.text[0] == "0"
    client = await Polling.connect(open_server.url)
    assert set(client.opened) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert client.opened["upgrades"] == ["websocket"]
    assert (client.opened["pingInterval"], client.opened["pingTimeout"]) == (25_000, 60_000)
    assert client.opened["maxPayload"] == 1_000_000
    assert len(client.sid) >= 20


async def test_over_websocket(open_server: RunningServer) -> None:
    async with await WebSocket.connect(open_server.url) as client:
        opened = await client.opened()
        assert set(opened) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
        assert opened["upgrades"] == []


async def test_each_session_has_its_own_id(open_server: RunningServer) -> None:
    opened = [await Polling.connect(open_server.url) for _ in range(20)]
    assert len({client.sid for client in opened}) == 20


async def test_without_websocket_no_upgrade_is_offered(make_server: MakeServer) -> None:
    server = await make_server(transports=("polling",), auth_required=False)
    assert (await Polling.connect(server.url)).opened["upgrades"] == []
    answer = await request(server.url, websocket_head(WEBSOCKET))
    assert (answer.status, answer.json()["code"]) == (400, 0)


async def test_without_polling_it_is_an_unknown_transport(make_server: MakeServer) -> None:
    server = await make_server(transports=("websocket",), auth_required=False)
    answer = await request(server.url, head_of("GET", POLLING))
    assert (answer.status, answer.json()["code"]) == (400, 0)
    async with await WebSocket.connect(server.url) as client:
        await client.opened()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", 0),
        ("EIO=4", 0),
        ("EIO=4&transport=abc", 0),
        ("transport=polling", 5),
        ("EIO=abc&transport=polling", 5),
        ("EIO=3&transport=polling", 5),
        ("EIO=4&transport=websocket", 3),
        ("EIO=4&transport=polling&sid=nobody", 1),
    ],
)
async def test_refused_over_polling(open_server: RunningServer, query: str, code: int) -> None:
    answer = await request(open_server.url, head_of("GET", f"/socket.io/?{query}"))
    assert (answer.status, answer.json()["code"]) == (400, code)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_session_begins_with_get_alone(open_server: RunningServer, method: str) -> None:
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of(method, POLLING, "Content-Length: 0", "Connection: close"))
        answer = await wire.read_to_end()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert (b'"code": 2' in body) is (method != "HEAD")
    assert open_server.app.components.socket_server.eio.sockets == {}


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/socket.io/?transport=websocket", 400, 5),
        ("/socket.io/?EIO=abc&transport=websocket", 400, 5),
        ("/socket.io/?EIO=4&transport=abc", 400, 0),
        ("/socket.io/?EIO=4", 400, 0),
        ("/socket.io/?EIO=4&transport=polling", 400, 3),
        ("/socket.io/?EIO=4&transport=websocket&sid=nobody", 400, 1),
    ],
)
async def test_refused_over_websocket(open_server: RunningServer, target: str, status: int, code: int) -> None:
    async with await Wire.open(open_server.url) as wire:
        await wire.write(websocket_head(target))
        answer = await wire.read_answer()
        assert (answer.status, answer.json()["code"]) == (status, code)
        assert await wire.read_to_end() == b"", "and closed"


async def test_other_paths_have_no_websockets(open_server: RunningServer) -> None:
    for target in ("/", "/health", "/socket.iox/?EIO=4&transport=websocket"):
        answer = await request(open_server.url, websocket_head(target))
        assert answer.status == 404, target


@pytest.mark.parametrize("path", ["/socket.io/", "/socket.io", "/socket.io//"])
async def test_path_with_and_without_a_slash(open_server: RunningServer, path: str) -> None:
    assert (await request(open_server.url, head_of("GET", f"{path}?EIO=4&transport=polling"))).status == 200
    async with await WebSocket.connect(open_server.url, f"{path}?EIO=4&transport=websocket") as client:
        await client.opened()


# -- how the head comes


@pytest.mark.parametrize("which", list(LARGE))
async def test_large_head_of_a_poll(open_server: RunningServer, which: str) -> None:
    more, lines = LARGE[which]
    assert (await request(open_server.url, head_of("GET", POLLING + more, *lines))).status == 200


# -- CORS


async def test_preflight(make_server: MakeServer) -> None:
    server = await make_server(cors_origin="https://a.example")
    asked = ("Origin: https://a.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-a")
    async with await Wire.open(server.url) as wire:
        await wire.write(head_of("OPTIONS", POLLING, *asked, "Connection: close"))
        head = (await wire.read_to_end()).decode().lower()
    assert head.startswith("http/1.1 204")
    assert "access-control-allow-origin: https://a.example\r\n" in head
    assert "access-control-allow-credentials: true\r\n" in head
    assert "access-control-allow-headers: x-a\r\n" in head


async def test_websocket_of_another_site_is_refused(make_server: MakeServer) -> None:
    server = await make_server(cors_origin="https://a.example", auth_required=False)
    answer = await request(server.url, websocket_head(WEBSOCKET, "Origin: https://b.example"))
    assert (answer.status, answer.json()["code"]) == (400, 4)
    async with await WebSocket.connect(server.url, WEBSOCKET, "Origin: https://a.example") as client:
        await client.opened()
