"""A client as a server's answer tells it: of this version, of the one before, and of one that knows more."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.cluster_rpc import RemoteSocket
from tradecast.cluster_rpc.results import describe_handshake, read_socket

AT = 1_700_000_000.25
BASE: list[Any] = ["sid", "c1", "u1", ["x", "y"], "websocket", AT]
HANDSHAKE = {"issued": 1_700_000_000_250, "time": "2023-11-14T22:13:20.250Z", "auth": {"userId": "u1"}}


def test_what_this_version_says() -> None:
    found = read_socket("s1", [*BASE, HANDSHAKE, {"b": {"$bytes": "AA=="}}])
    assert found == RemoteSocket("sid", "s1", "c1", "u1", frozenset("xy"), "websocket", AT, HANDSHAKE, {"b": b"\x00"})


def test_what_the_next_version_says_more_is_ignored() -> None:
    assert read_socket("s1", [*BASE, HANDSHAKE, {}, "more", {}]).data == {}


@pytest.mark.parametrize(
    ("user", "auth"), [("u1", {"userId": "u1", "authenticated": True}), (None, {"authenticated": False})]
)
def test_the_version_before_says_less(user: str | None, auth: dict[str, Any]) -> None:
    found = read_socket("s1", ["sid", "c1", user, [], "polling", AT])
    assert found.handshake == describe_handshake(AT, auth) == {**HANDSHAKE, "auth": auth}
    assert found.data is None


@pytest.mark.parametrize("data", [None, 5, "x", [1], {"$bytes": 5}, {"$bytes": "AA=="}, {"$object": 1}])
def test_data_that_is_none(data: Any) -> None:
    assert read_socket("s1", [*BASE, HANDSHAKE, data]).data is None


async def test_one_that_no_server_gave_can_do_nothing() -> None:
    with pytest.raises(RuntimeError):
        await read_socket("s1", BASE).emit("n")
