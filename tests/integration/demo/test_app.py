"""The demo on a server: it feeds clients until it is stopped."""

from __future__ import annotations

import signal

import httpx

from kit.servers.process import start


async def test_demo_stops_on_interrupt_while_it_feeds_clients() -> None:
    async with start("demo", "--port", "0", "--admin-port", "0", "--day-seconds", "2") as demo:
        url = (await demo.line(r"http://127\.0\.0\.1:\d+/"))[0]
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            assert (await http.get(url)).status_code == 200
        demo.send(signal.SIGINT)
        assert await demo.ended() == 0
        assert "Traceback" not in "\n".join(demo.err)
