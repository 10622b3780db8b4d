"""What stays in one Redis for those who join later."""

from __future__ import annotations

import pytest

from kit.contracts.snapshots import SnapshotContract

pytestmark = pytest.mark.redis


class TestRetentionKeeper(SnapshotContract):
    """The contract, on one Redis."""
