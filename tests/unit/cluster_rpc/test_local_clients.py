"""Which of this server's clients a request is about."""

from __future__ import annotations

import orjson
import pytest

from tradecast.cluster_rpc.selection import Selection
from unit.cluster_rpc.local_server import LocalServer


@pytest.mark.parametrize(
    ("selection", "sids"),
    [
        (Selection(), ["sid1", "sid2"]),
        (Selection.of("all"), ["sid1", "sid2"]),
        (Selection.of(["all", "odd one", "sid1"]), ["sid1", "sid2"]),
        (Selection.of("sid1"), ["sid1"]),
        (Selection.of("sid3"), []),
        (Selection.of("nobody"), []),
        (Selection.of([]), []),
        (Selection.of("all", except_rooms="odd one"), ["sid1"]),
        (Selection.of(None, except_rooms=["sid1"]), ["sid2"]),
        (Selection.of(None, skip="sid2"), ["sid1"]),
    ],
)
async def test_who_is_wholly_connected_is_selected(here: LocalServer, selection: Selection, sids: list[str]) -> None:
    assert sorted(here.clients.select(selection)) == sids
    assert sorted(here.clients.select(Selection.parse(orjson.loads(orjson.dumps(selection.body()))))) == sids
