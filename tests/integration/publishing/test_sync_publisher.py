"""Publishing from programs without an event loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from kit.clients.python import PythonClients
from kit.servers.in_process import MakeServer, settings_for_tests
from kit.servers.redis_server import RedisServer
from tradecast.publishing.sync_publisher import SyncPublisher

pytestmark = pytest.mark.redis


async def test_a_program_without_an_event_loop_publishes(redis_server: RedisServer, make_server: MakeServer) -> None:
    server = await make_server(redis_url=redis_server.url)

    def program() -> None:
        with SyncPublisher(settings_for_tests(redis_url=redis_server.url)) as out:
            for number in range(3):
                out.emit_notification("u1", {"n": number})
            out.emit("custom", [3], to=["user:u1"], except_rooms="authenticated")
            out.emit_to_room("user:u1", "custom", [1, 2])
            with pytest.raises(TypeError):
                out.emit_notification("u1", {"n": object()})

    async with PythonClients() as clients:
        session = await server.session("u1")
        client = await clients.connect(server.url, {**session, "recovery": False}, ["websocket"])
        await asyncio.to_thread(program)
        assert await client.wait_for("custom") == [[1, 2]]
        assert [args[0]["notification"]["n"] for args in client.events("notification")] == [0, 1, 2]


FORKED = """
import asyncio, os, signal, sys
from tradecast.publishing.publisher import Publisher
from tradecast.publishing.sync_publisher import SyncPublisher
from tradecast.config.settings import load_settings

settings = load_settings({{"REDIS_URL": "{url}"}})

def in_child(work):
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return
    signal.alarm(20)  # who waits for a thread that was left behind waits for ever
    work()
    sys.exit()

{what}
"""


FORKS = {
    # As gunicorn's --preload, uWSGI and Celery do: made once, used in each worker.
    "made before": (
        "publisher = SyncPublisher(settings)\n"
        "for name in 'ab': in_child(lambda: publisher.emit_notification('u1', {'n': name}))",
        ["a", "b"],
    ),
    "used before and after": (
        "publisher = SyncPublisher(settings)\n"
        "publisher.emit_notification('u1', {'n': 'a'})\n"
        "for name in 'bc': in_child(lambda: publisher.emit_notification('u1', {'n': name}))\n"
        "publisher.emit_notification('u1', {'n': 'd'})",
        ["a", "b", "c", "d"],
    ),
    "with": (
        "with SyncPublisher(settings) as publisher:\n"
        "    publisher.emit_notification('u1', {'n': 'a'})\n"
        "    in_child(lambda: publisher.emit_notification('u1', {'n': 'b'}))\n"
        "    publisher.emit_notification('u1', {'n': 'c'})",
        ["a", "b", "c"],
    ),
    "async, made before": (
        "publisher = Publisher(settings)\n"
        "for name in 'ab': in_child(lambda: asyncio.run(publisher.emit_notification('u1', {'n': name})))",
        ["a", "b"],
    ),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("how", FORKS)
async def test_processes_that_are_forked_publish_too(
    redis_server: RedisServer, make_server: MakeServer, how: str
) -> None:
    what, names = FORKS[how]
    server = await make_server(redis_url=redis_server.url)
    async with PythonClients() as clients:
        session = await server.session("u1")
        client = await clients.connect(server.url, {**session, "recovery": False}, ["websocket"])
        program = FORKED.format(url=redis_server.url, what=what)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, **options)  # type: ignore[arg-type]
        out, errors = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, out, errors) == (0, b"", b"")
        received = [(await client.wait_for("notification"))[0]["notification"]["n"] for _ in names]
        assert received == names
