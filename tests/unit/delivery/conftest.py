"""A hub over a broker that does as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.delivery.hub_clients import HubHarness, running_hub
from unit.delivery.recording import RecordingBroker


@pytest.fixture
def broker() -> RecordingBroker:
    """The broker in memory, which does as it is told."""
    return RecordingBroker()


@pytest.fixture
async def here(broker: RecordingBroker) -> AsyncIterator[HubHarness]:
    """A hub over that."""
    async with running_hub(broker) as made:
        yield made
