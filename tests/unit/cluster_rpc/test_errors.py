"""How a request to all servers fails, in words."""

from __future__ import annotations

from tradecast.cluster_rpc import Acknowledged, ClientAnswer, Incomplete, RemoteSocket

SOCKET = RemoteSocket("secret-sid", "s1", "c1", "secret-user", frozenset(["user:secret-user"]), "websocket", 1.0)


def test_says_what_is_missing() -> None:
    error = Incomplete([SOCKET], missing=frozenset("ab"), gone=frozenset("c"), failed={"d": "it failed", "e": "a bug"})
    assert str(error) == ("2 servers did not answer in time; 1 servers are gone; 2 servers could not do it: a bug")
    assert str(Incomplete(None, gone=frozenset("c"))) == "1 servers are gone"
    assert error.result == [SOCKET]


def test_nothing_that_is_shown_identifies_clients() -> None:
    told = Acknowledged([ClientAnswer("secret-sid", "s1", "secret-data")], ["secret-sid"], ["secret-sid"])
    for shown in (Incomplete([SOCKET], missing=frozenset("a")), SOCKET, told):
        assert "secret" not in f"{shown!r} {shown}"
