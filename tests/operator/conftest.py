"""Two servers, whose fleet is looked after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from kit.clients.python import PythonClients
from kit.kubernetes.fake_api import TOKEN
from kit.kubernetes.rounds import World
from kit.servers.in_process import MakeServer
from tradecast_operator.clients.pod_http import PodClient


@pytest.fixture
async def world(make_server: MakeServer) -> AsyncIterator[World]:
    first = await make_server(admin_token=TOKEN, admin_host="127.0.0.11", pod_uid="uid-a", drain_delay=0)
    port = urlsplit(first.admin_url).port
    second = await make_server(
        admin_token=TOKEN, admin_host="127.0.0.12", admin_port=port, pod_uid="uid-b", drain_delay=0
    )
    async with PythonClients() as clients:
        await clients.connect(first.url, await first.session("u1"), ["websocket"])
        yield World([first, second], PodClient())
