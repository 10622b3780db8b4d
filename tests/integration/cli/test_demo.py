"""`tradecast demo` as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys

import httpx

from kit.clients.node import StockClients
from kit.servers.process import start


async def test_demo_without_a_feed(stock_clients: StockClients) -> None:
    async with start("demo", "--no-feed", "--port", "0", "--admin-port", "0") as demo:
        url = (await demo.line(r"http://127\.0\.0\.1:\d+/"))[0]
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            page = await http.get(url)
            assert page.status_code == 200
            assert "text/html" in page.headers["content-type"]
        demo.send(signal.SIGINT)
        assert await demo.ended() == 0
        assert "Traceback" not in "\n".join(demo.err)


async def test_demo_names_what_is_not_installed() -> None:
    """Without the extra there is a sentence with the way to get it; `python -c` hides the package."""
    code = (
        "import sys; sys.modules['bokeh_sampledata'] = None; "
        "from tradecast.cli import cli; cli(['demo', '--port', '0', '--admin-port', '0'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"pip install '.[demo]' in tradecast's folder" in err
    assert b"Traceback" not in err
