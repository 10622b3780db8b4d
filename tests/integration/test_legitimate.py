"""Who is many, slow or talkative and means no harm gets in, and nothing is refused.

Heads that are large or come slowly: tests/protocol/engine/http/test_connection_bounds.py. A thousand events that were
buffered offline: test_packet_floods.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from websockets.asyncio.client import connect

from e2e.crowd import Crowd, Report
from kit.clients.floods import errors_of, refused
from kit.clients.node import StockClients
from kit.clients.node_packages import NodeMissing
from kit.clients.raw import WEBSOCKET, Polling, WebSocket, Wire
from kit.network.ports import free_port
from kit.network.slow_link import SlowLink
from kit.servers.process import ServeProcess, environment, serving

DEFAULT_TRANSPORTS = ["polling", "websocket"]
STORM = int(os.environ.get("STORM", "400"))
"""Clients of a storm. The proxy that slows them takes four files for each: with 20,000 files 3,000 are possible."""


@pytest.fixture
async def server() -> AsyncIterator[ServeProcess]:
    """A server that lets everybody in, and refuses nothing while a test goes on."""
    async with serving(AUTH_REQUIRED="false", TRANSPORTS="polling,websocket") as process:
        yield process
        assert await refused(process) == {}
        assert errors_of(process) == []


# -- many at once


async def gathered(crowd: Crowd, connects: int, within: float) -> Report:
    """As soon as all are in, on WebSockets, for so many times."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        report = await asyncio.to_thread(crowd.report)
        came = sum(len(client["connects"]) >= connects for client in report.clients)
        upgraded = report.transports["websocket"]
        if came == report.connected == report.subscribed == upgraded == len(report.clients):
            return report
        assert asyncio.get_running_loop().time() < deadline, (report.summary(), report.transports, report.final, came)
        await asyncio.sleep(0.2)


@pytest.mark.node
@pytest.mark.serial
@pytest.mark.timeout(900)
async def test_a_storm_of_standard_clients_on_a_slow_link(server: ServeProcess) -> None:
    within = 60 + STORM / 10
    async with SlowLink(server.url, delay=0.15, rate=500_000 + STORM * 500) as link:
        try:
            crowd = Crowd(link.url)
        except NodeMissing as missing:
            pytest.skip(str(missing))
        with crowd:
            everybody: list[dict[str, str]] = [{}] * STORM
            await asyncio.to_thread(crowd.add, everybody, 200, transports=DEFAULT_TRANSPORTS)
            await gathered(crowd, 1, within)
            assert link.peak >= STORM
            link.cut()
            report = await gathered(crowd, 2, within)
            assert report.final == 0
            assert [client["errors"] for client in report.clients if client["errors"]] == []
            assert {reason for client in report.clients for _, reason in client["disconnects"]} <= {
                "transport close",
                "transport error",
            }


async def test_forty_clients_behind_one_address(server: ServeProcess) -> None:
    """An office, or a carrier's network: all at once, from the same address, over everything that there is."""
    one = ("X-Forwarded-For: 203.0.113.7",)

    async def poll() -> None:
        client = await Polling.connect(server.url)
        await client.join()
        assert (await client.post("41", "40")).status == 200

    async def upgrade() -> None:
        async with await WebSocket.connect(server.url, WEBSOCKET, *one) as client:
            await client.opened()
            await client.join()
            await client.send('421["subscribe:trades"]')
            assert await client.until("431[")

    for _ in range(3):
        await asyncio.gather(*(poll() for _ in range(20)), *(upgrade() for _ in range(20)))


# -- pings of other libraries


async def test_pings_of_other_libraries(server: ServeProcess) -> None:
    """Eight a second from each of them, for longer than the burst that is free."""
    url = server.url.replace("http", "ws", 1) + WEBSOCKET
    loop = asyncio.get_running_loop()
    end = loop.time() + 10

    async def of_websockets() -> None:
        async with connect(url, ping_interval=0.125, ping_timeout=20) as client:
            assert str(await client.recv()).startswith("0{")
            await client.send("40")
            assert str(await client.recv()).startswith("40{")
            while loop.time() < end:
                await asyncio.sleep(0.5)
                await client.send('421["subscribe:trades"]')
                while not str(await client.recv()).startswith("431["):
                    pass

    async def of_aiohttp() -> None:
        # not its own `heartbeat`, which gives up where an answer takes half of that
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as client:
            assert (await client.receive_str()).startswith("0{")
            while loop.time() < end:
                await client.ping(b"still here")
                await asyncio.sleep(0.125)
            await client.send_str("40")
            assert (await client.receive_str()).startswith("40{")

    async def unasked_pongs() -> None:
        async with connect(url, ping_interval=None) as client:
            await client.recv()
            while loop.time() < end:
                await client.pong(b"still here")
                await asyncio.sleep(0.125)
            await client.send("40")
            assert str(await client.recv()).startswith("40{")

    await asyncio.gather(of_websockets(), of_aiohttp(), unasked_pongs())


# -- load balancers that keep connections

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream tradecast {{
        server 127.0.0.1:{target}; keepalive 4; keepalive_timeout {keeps}; keepalive_requests 100000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://tradecast; proxy_http_version 1.1; proxy_next_upstream off;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""
HOW_TO_GET_NGINX = "nginx is not installed: apt-get install nginx"


@contextlib.asynccontextmanager
async def nginx(url: str, folder: Path, keeps: str) -> AsyncIterator[str]:
    """A real nginx in front of a server, which keeps connections to it for so long."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip(HOW_TO_GET_NGINX)
    port, target = free_port(), url.rsplit(":", 1)[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, target=target, port=port, keeps=keeps))
    process = await asyncio.create_subprocess_exec(
        *(program, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")),
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while True:
                assert process.returncode is None, (folder / "error.log").read_text()
                with contextlib.suppress(OSError):
                    async with await Wire.open(f"http://127.0.0.1:{port}"):
                        break
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def tcp_connections(server: ServeProcess) -> int:
    """Of the public port, now."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        text = (await http.get(f"{server.admin_url}/metrics")).text
    return int(float(text.split('tradecast_tcp_connections{port="public"} ')[1].split()[0]))


async def test_nginx_uses_one_connection_again_and_again(server: ServeProcess, tmp_path: Path) -> None:
    async with nginx(server.url, tmp_path, "60s") as url, httpx.AsyncClient(trust_env=False, timeout=20) as http:
        for _ in range(500):
            assert (await http.get(f"{url}/health")).status_code == 200
        assert await tcp_connections(server) == 1
        client = await Polling.connect(url)
        await client.join()
        for _ in range(50):
            assert (await client.post('421["subscribe:trades"]')).status == 200
            assert (await client.poll()).status == 200
        assert await tcp_connections(server) <= 4


@pytest.mark.node
async def test_standard_clients_behind_nginx(server: ServeProcess, tmp_path: Path, stock_clients: StockClients) -> None:
    async with nginx(server.url, tmp_path, "60s") as url:
        clients = await asyncio.gather(*(stock_clients.connect(url, transports=DEFAULT_TRANSPORTS) for _ in range(40)))
        await asyncio.gather(*(client.wait_upgrade() for client in clients))
        answers = await asyncio.gather(*(client.call("subscribe:trades") for client in clients))
        assert all(answers)


IDLE = float(os.environ.get("IDLE", "1"))
"""What a minute of a load balancer's and of KEEP_ALIVE is here; 60 to have it as it is."""


async def test_a_load_balancer_lets_go_of_idle_connections_first(tmp_path: Path) -> None:
    """It keeps them for 60 s, and the server for 75: requests that come after any pause get no 502."""
    keeps, idle = f"{max(1, round(IDLE))}s", IDLE
    # The scale shortens the quarter of a minute between the two, and not how long a machine may hold nginx up.
    async with serving(AUTH_REQUIRED="false", KEEP_ALIVE=str(75 * idle / 60 + 5)) as server:
        async with nginx(server.url, tmp_path, keeps) as url, httpx.AsyncClient(trust_env=False, timeout=30) as http:

            async def ask(pauses: list[float]) -> None:
                for pause in pauses:
                    assert (await http.get(f"{url}/health", headers={"connection": "close"})).status_code == 200
                    await asyncio.sleep(pause * idle)

            near = [0.9, 0.97, 0.99, 1.0, 1.01, 1.03, 1.2, 1.25, 1.3, 1.6]
            await asyncio.gather(*(ask([pause] * 2) for pause in near))
        assert await refused(server) == {}
