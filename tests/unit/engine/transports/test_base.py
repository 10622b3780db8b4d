"""Bounds on what waits for one client."""

from __future__ import annotations

import pytest

from tradecast.engine.transports.base import Limits


@pytest.mark.parametrize(
    ("messages", "size", "exceeded"),
    [(0, 0, False), (2, 100, False), (3, 0, True), (2, 101, True), (1, 101, True), (0, 1_000, False)],
)
def test_a_single_message_may_be_larger_than_all_together(messages: int, size: int, exceeded: bool) -> None:
    assert Limits(messages=3, size=100).exceeded(messages, size) is exceeded
