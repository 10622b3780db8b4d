"""A server with sessions in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from integration.cli.commands import ADMIN, TOKEN
from kit.servers.process import ServeProcess, serving


@pytest.fixture
async def server() -> AsyncIterator[ServeProcess]:
    """A server with sessions in memory."""
    async with serving(API_TOKEN=f"{TOKEN},second", ADMIN_TOKEN=ADMIN) as running:
        yield running
