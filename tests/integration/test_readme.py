"""The README is true as typed."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from kit.servers.in_process import MakeServer
from kit.servers.process import start
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.bootstrap.ports import create_process
from tradecast.config.settings import load_settings
from tradecast.server import NotInitialized, WebSocketServer

README = Path(__file__).parents[2] / "README.md"


PAGES = (README, *sorted((README.parent / "docs").glob("*.md")))


def examples(page: Path) -> list[str]:
    """The Python programs of a page, as they are typed."""
    return re.findall(r"^```py(?:thon)?\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def save(page: str, folder: Path, number: int = 0) -> str:
    """A program of a page, in a file."""
    path = folder / "example.py"
    path.write_text(examples(README.parent / page)[number])
    return str(path)


def test_every_program_is_run_below() -> None:
    found = {str(page.relative_to(README.parent)): len(examples(page)) for page in PAGES if examples(page)}
    assert found == {"README.md": 1, "docs/client.md": 3, "docs/cluster.md": 1, "docs/python.md": 2}


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
async def test_the_embedding_example_runs(page: str, tmp_path: Path) -> None:
    async with start(program=(save(page, tmp_path),)) as running:
        port = (await running.log("listening"))["public_port"]
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        assert "Traceback" not in "\n".join(running.err)


async def test_the_example_of_requests_to_all_servers_runs(tmp_path: Path) -> None:
    async with start(program=(save("docs/cluster.md", tmp_path),)) as running:
        assert await running.ended() == 0, running.err
        assert running.out == ["[] [] []", "{}", "0 0"]


async def test_the_example_of_a_python_client_runs(make_server: MakeServer, tmp_path: Path) -> None:
    server = await make_server()
    session = await server.session("u1")
    arguments = (server.url, session["sessionID"], session["userId"])
    async with start(*arguments, program=(save("docs/client.md", tmp_path, 1),)) as running:
        assert await running.ended() == 0, running.err
        assert "'success': True" in running.out[0]


async def test_the_example_of_live_quotes_runs(make_server: MakeServer, tmp_path: Path) -> None:
    server = await make_server()
    session = await server.session("u1")
    arguments = (server.url, session["sessionID"], session["userId"])
    async with start(*arguments, program=(save("docs/client.md", tmp_path),), PYTHONUNBUFFERED="1") as running:
        await eventually(lambda: any("symbols=['AAPL', 'MSFT']" in line for line in running.out))
        await server.app.emit_watchlist_quote("AAPL", {"price": 512.5})
        await eventually(lambda: any(line == "AAPL {'price': 512.5}" for line in running.out))


async def test_the_example_of_a_publisher_runs(redis_server: RedisServer, tmp_path: Path) -> None:
    async with (
        start("serve", REDIS_URL=redis_server.url) as server,
        start(program=(save("docs/client.md", tmp_path, 2),), REDIS_URL=redis_server.url) as running,
    ):
        await server.log("listening")
        assert await running.ended() == 0, running.err
        assert "Traceback" not in "\n".join(running.err)


@pytest.mark.parametrize(
    "ask",
    [
        WebSocketServer.public_app,
        WebSocketServer.admin_app,
        WebSocketServer.internal_app,
        WebSocketServer.public_upgrades,
        WebSocketServer.get_stats,
        create_process,
    ],
)
def test_what_is_asked_before_initialize_says_so(ask: Callable[[WebSocketServer], object]) -> None:
    with pytest.raises(NotInitialized, match=r"`await server\.initialize\(\)` comes first"):
        ask(WebSocketServer(load_settings({})))


async def test_emitters_before_initialize_say_so() -> None:
    server = WebSocketServer(load_settings({}))
    for work in (
        server.emit_market_status({"status": "open"}),
        server.emit_to_user("u1", "e"),
        server.emit("e", to="room"),
        server.fetch_sockets(),
        server.send_away(),
        server.shutdown(),
    ):
        with pytest.raises(NotInitialized):
            await work
    with pytest.raises(AttributeError, match="has no attribute 'nothing_like_that'"):
        getattr(server, "nothing_like_that")  # noqa: B009 a type checker knows that it is not there


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)", README.read_text())
    assert links
    assert [link for link in links if not link.startswith("http") and not (README.parent / link).exists()] == []


@pytest.mark.parametrize("target", ["serve", "test", "test-quick", "lint", "soak", "bench", "bench-cluster"])
def test_every_make_target_named_is_there(target: str) -> None:
    assert f"make {target}" in README.read_text()
    assert re.search(rf"^{target}:", (README.parent / "Makefile").read_text(), re.MULTILINE)


def test_make_help_names_every_target() -> None:
    makefile = (README.parent / "Makefile").read_text()
    described = re.findall(r"^([\w-]+):.*## ", makefile, re.MULTILINE)
    assert "e2e" in described
    done = subprocess.run(["make", "help"], cwd=README.parent, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines() if line[:1].isalnum()] == described


async def test_the_example_of_a_batch_runs(redis_server: RedisServer, tmp_path: Path) -> None:
    async with start(program=(save("docs/python.md", tmp_path, 1),), REDIS_URL=redis_server.url) as running:
        assert await running.ended() == 0, running.err
