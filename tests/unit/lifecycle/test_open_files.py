"""How files are shared out."""

from __future__ import annotations

import pytest

from tradecast.lifecycle.open_files import Shares


def test_all_that_is_wanted_where_files_are_many() -> None:
    for limit in (None, 1_048_576):
        assert Shares.of(limit, 20_256, internal=True) == Shares(20_256, 20_256, 128, 2_048)


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("limit", [256, 1_024, 4_096, 20_000, 65_536])
def test_never_more_than_there_are(limit: int, internal: bool) -> None:
    shares = Shares.of(limit, 20_256, internal=internal)
    used = shares.clients + shares.admin + shares.backlog + (shares.servers if internal else 0)
    assert used + 40 <= limit
    assert shares.clients >= min(20_256, limit // 3)
    assert shares.admin >= 16


def test_what_10000_websockets_need_is_there_with_20000_files() -> None:
    assert Shares.of(20_000, 20_256, internal=True).clients >= 10_000
