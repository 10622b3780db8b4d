"""A connection, as handlers and middleware see it."""

from __future__ import annotations

from tradecast.connections.connection import Connection
from tradecast.connections.guards import (
    require_admin,
    require_user,
)
from tradecast.sessions.models import Session, User
from unit.connections.connecting import USER, Recorder, connection


async def test_connection_passes_on_under_its_sid() -> None:
    channel = Recorder()
    who = Connection("sid", "id", channel, claims=None, connected_at=0.0)
    await who.emit("event", {"a": 1})
    who.send("several", 1, "2")
    who.send("none")
    await who.join("room")
    await who.leave("room")
    assert channel.calls == [
        ("send", "sid", "event", {"a": 1}),
        ("send", "sid", "several", (1, "2")),
        ("send", "sid", "none", ()),
        ("join", "sid", "room"),
        ("leave", "sid", "room"),
    ]
    assert who.rooms == {"room of sid"}


def test_guards_keep_their_order_and_are_a_connections_own() -> None:
    first, second = require_user(), require_admin()
    who, other = connection(), connection()
    who.use(first)
    who.use(second)
    assert who.guards == (first, second)
    assert other.guards == ()


def test_attaching_again_replaces_the_user() -> None:
    who = connection(user=USER)
    who.attach(Session("s2", User("u1", "New"), 2.0))
    assert who.handshake_auth["userName"] == "New"
    assert who.handshake_auth["isAdmin"] is False
