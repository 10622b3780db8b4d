"""The publisher of a load run: its rate, and posts that fail."""

from __future__ import annotations

import pytest

from integration.load.scripted import Scripted, options
from tradecast.load.run import LoadError, run_load


async def test_failed_posts_are_uncertain_not_lost(scripted: Scripted) -> None:
    scripted.emit_status = lambda number: 503 if number == 1 else 200
    report = await run_load(options(scripted))
    assert report.uncertain == len(scripted.posts[1])
    assert report.errors == {"publish: HTTP 503": 1}
    assert report.losses == 0
    assert report.published + report.uncertain == 50


async def test_wrong_token_ends_the_run_with_a_reason(scripted: Scripted) -> None:
    scripted.emit_status = lambda number: 401
    with pytest.raises(LoadError, match="POST /api/emit answered 401"):
        await run_load(options(scripted))
    assert scripted.peers == []


async def test_rate_is_kept(scripted: Scripted) -> None:
    report = await run_load(options(scripted, rate=200, duration=1))
    assert report.published == 200
    assert 0.9 < report.publish_seconds < 15
