"""A server of the test's own."""

from __future__ import annotations

import pytest

from unit.cluster_rpc.local_server import LocalServer


@pytest.fixture
async def here() -> LocalServer:
    made = LocalServer()
    await made.begin()
    return made
