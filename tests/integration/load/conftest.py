"""A server that does what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from integration.load.scripted import Scripted


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """A server that does what a test says."""
    server = Scripted()
    await server.start()
    yield server
    await server.stop()
