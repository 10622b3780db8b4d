"""A process of several ports: it starts whole or not at all, and stops cleanly."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from kit.network.ports import free_port
from kit.network.tls import make_certificates
from kit.waiting import eventually
from tradecast.lifecycle.certificate import RenewedCertificate
from tradecast.lifecycle.ports import PortInUse
from tradecast.lifecycle.process import Listener, Process, ProcessHooks

MakeProcess = Callable[..., Process]


def app(text: str, entered: asyncio.Event | None = None, leave: asyncio.Event | None = None) -> ASGIApp:
    """An app that answers with a text, after `leave` is set."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if entered is not None:
            entered.set()
        if leave is not None:
            await leave.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

    return serve


def listener(name: str = "public", text: str = "", *, port: int = 0, host: str = "127.0.0.1", **more: Any) -> Listener:
    return Listener(name, more.pop("app", None) or app(text), host, port, **more)


class Hooks(ProcessHooks):
    """Calls a test's own function when a process stops, while everything is still served."""

    def __init__(self, before_stop: Callable[[], Awaitable[None]]) -> None:
        self._before_stop = before_stop

    async def before_stop(self) -> None:
        """As of `ProcessHooks`."""
        await self._before_stop()


@pytest.fixture
async def make_process() -> AsyncIterator[MakeProcess]:
    made: list[Process] = []

    def make(*listeners: Listener, hooks: ProcessHooks | None = None, grace: float = 5) -> Process:
        process = Process(listeners, hooks or ProcessHooks(), grace=grace)
        made.append(process)
        return process

    yield make
    for process in made:
        await process.stop()


async def get(port: int, scheme: str = "http", **options: Any) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=20, **options) as http:
        return (await http.get(f"{scheme}://127.0.0.1:{port}/")).text


# -- starting


async def test_ports_are_reported_before_anything_is_served() -> None:
    told: list[Any] = []

    class Bound(ProcessHooks):
        async def ports_bound(self, ports: Mapping[str, int]) -> None:
            told.append(dict(ports))
            with pytest.raises(TimeoutError):  # taken, and not served
                await asyncio.wait_for(get(ports["public"]), 0.2)

    process = Process([listener()], Bound(), grace=5)
    await process.start()
    assert told == [process.ports]
    assert await get(process.ports["public"]) == ""
    await process.stop()


async def test_serves_each_listener_on_a_port_of_its_own(make_process: MakeProcess) -> None:
    process = make_process(listener("public", "one"), listener("admin", "two"))
    await process.start()
    assert await get(process.ports["public"]) == "one"
    assert await get(process.ports["admin"]) == "two"


async def test_serves_the_port_that_was_asked_for(make_process: MakeProcess) -> None:
    port = free_port()
    process = make_process(listener(port=port))
    await process.start()
    assert process.ports == {"public": port}


async def test_port_in_use_is_reported_and_nothing_is_held(make_process: MakeProcess) -> None:
    first = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = make_process(listener(port=first), listener("admin", port=port))
        with pytest.raises(PortInUse, match=rf"127\.0\.0\.1:{port} \(admin port\): Address already in use"):
            await process.start()
    socket.create_server(("127.0.0.1", first)).close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
async def test_host_that_is_not_ours_is_reported(make_process: MakeProcess, host: str) -> None:
    with pytest.raises(PortInUse, match=r"public port\): [A-Za-z]"):
        await make_process(listener(host=host)).start()


async def test_serves_ipv6(make_process: MakeProcess) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback: switch IPv6 on")
    process = make_process(listener(text="six", host="::1"))
    await process.start()
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        assert (await http.get(f"http://[::1]:{process.ports['public']}/")).text == "six"


async def test_serves_tls(make_process: MakeProcess, tmp_path: Path) -> None:
    pem = make_certificates(tmp_path)
    process = make_process(listener(text="safe", tls=RenewedCertificate(pem.server_cert, pem.server_key)))
    await process.start()
    context = ssl.create_default_context(cafile=pem.ca)
    assert await get(process.ports["public"], "https", verify=context) == "safe"


# -- stopping


async def test_clients_are_disconnected_while_everything_is_served(make_process: MakeProcess) -> None:
    told: list[str] = []

    async def before_stop() -> None:
        if not told:  # the fixture stops it once more
            told.append(await get(process.ports["public"]))

    process = make_process(listener(text="still here"), hooks=Hooks(before_stop))
    await process.start()
    await process.stop()
    assert told == ["still here"]
    with pytest.raises(httpx.ConnectError):
        await get(process.ports["public"])


async def test_request_under_way_is_finished(make_process: MakeProcess) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    process = make_process(listener(app=app("finished", entered, leave)), grace=60)
    await process.start()
    request = asyncio.create_task(get(process.ports["public"]))
    await entered.wait()
    stopping = asyncio.create_task(process.stop())
    await eventually(lambda: refuses(process.ports["public"]))
    leave.set()
    assert await request == "finished"
    await stopping


async def test_request_that_does_not_end_is_not_waited_for(make_process: MakeProcess) -> None:
    entered = asyncio.Event()
    process = make_process(listener(app=app("never", entered, asyncio.Event())), grace=1)
    await process.start()
    request = asyncio.create_task(get(process.ports["public"]))
    await entered.wait()
    async with asyncio.timeout(30):
        await process.stop()
    assert "never" not in str((await asyncio.gather(request, return_exceptions=True))[0])


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# -- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_stops(make_process: MakeProcess, number: signal.Signals) -> None:
    gone = asyncio.Event()

    async def before_stop() -> None:
        gone.set()

    process = make_process(listener(), hooks=Hooks(before_stop))
    await process.start()
    before = signal.getsignal(number)
    serving = asyncio.create_task(process.run_until_signal())
    await asyncio.sleep(0)  # its first step sets the handlers
    os.kill(os.getpid(), number)
    async with asyncio.timeout(30):
        await serving
    assert gone.is_set()
    assert refuses(process.ports["public"])
    assert signal.getsignal(number) in (before, signal.default_int_handler, signal.SIG_DFL)


async def test_second_signal_waits_for_nobody(make_process: MakeProcess) -> None:
    entered, leaving = asyncio.Event(), asyncio.Event()

    async def before_stop() -> None:
        leaving.set()
        await asyncio.sleep(3600)

    process = Process([listener(app=app("never", entered, asyncio.Event()))], Hooks(before_stop), grace=3600)
    await process.start()
    request = asyncio.create_task(get(process.ports["public"]))
    await entered.wait()
    serving = asyncio.create_task(process.run_until_signal())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await leaving.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(30):
        await serving
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)


async def test_second_signal_while_a_request_is_waited_for(make_process: MakeProcess) -> None:
    entered = asyncio.Event()
    process = Process([listener(app=app("never", entered, asyncio.Event()))], ProcessHooks(), grace=3600)
    await process.start()
    request = asyncio.create_task(get(process.ports["public"]))
    await entered.wait()
    serving = asyncio.create_task(process.run_until_signal())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    await eventually(lambda: refuses(process.ports["public"]))
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(30):
        await serving
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
