"""A server of the test's own, for the modules that it is put together from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tradecast.gateway import server as module
from unit.gateway.cases import Case


@pytest.fixture
async def case(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    monkeypatch.setattr(module, "FIRST_MESSAGES", 500)
    case = Case()
    await case.hub.start()
    yield case
    await case.hub.close()
    await case.server.shutdown()
