"""Chromium agrees to permessage-deflate, and reads what is compressed."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser

from kit.clients.browser import DEADLINE_MS
from kit.servers.fleet import metric
from kit.servers.in_process import MakeServer
from protocol.engine.conftest import add_handlers

pytestmark = pytest.mark.browser

# Large and small messages, both ways: what the server answers is what was sent.
TALK = """async ([url, count]) => {
  const socket = new WebSocket(url);
  const next = () => new Promise((resolve, reject) => {
    socket.onmessage = (event) => resolve(event.data);
    socket.onclose = (event) => reject(new Error(`closed: ${event.code}`));
  });
  await next();
  socket.send("40");
  await next();
  const wrong = [];
  for (let number = 0; number < count; number++) {
    const text = `["${"portfolio é ".repeat(number * 10)}${number}"]`;
    socket.send(`421["echo",${text.slice(1)}`);
    if (await next() !== `431${text}`) wrong.push(number);
  }
  const extensions = socket.extensions;
  socket.close();
  return { wrong, extensions };
}"""


async def test_chromium_reads_compressed_messages(browser: Browser, make_server: MakeServer) -> None:
    server = await make_server(add_handlers, auth_required=False, websocket_compression=True)
    page = await browser.new_page()
    page.set_default_timeout(DEADLINE_MS)
    await page.goto(f"{server.url}/healthz")
    url = f"{server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
    found: Any = await page.evaluate(TALK, [url, 60])
    assert found["wrong"] == []
    assert "permessage-deflate" in found["extensions"]
    assert metric(server, "compression_negotiated_total") == 1
    assert metric(server, "compressed_messages_total") > 40
    await page.close()
