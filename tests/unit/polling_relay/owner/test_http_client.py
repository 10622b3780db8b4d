"""Answers of other servers, as they come on a connection."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.properties import PLACES, cut, damaged
from tradecast.engine.http.handshake import Refusal
from tradecast.polling_relay.owner.http_client import Connection, Connections, Route

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Socket:
    """The part of an `asyncio.Transport` that is used."""

    def __init__(self) -> None:
        self.aborted = False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def asked(pieces: list[bytes]) -> tuple[Connection, Socket]:
    """A connection on which something was asked, and these bytes came."""
    socket = Socket()
    connection = Connection(Route(("127.0.0.1", 1)), Connections())
    connection.connection_made(cast(asyncio.BaseTransport, socket))
    connection.ask(b"GET / HTTP/1.1\r\n\r\n")
    for piece in pieces:
        if not socket.aborted:
            connection.data_received(piece)
    return connection, socket


@pytest.mark.parametrize("pieces", [[OK], [OK[:20], OK[20:]], [OK[:-1], OK[-1:]]])
def test_an_answer_is_read_in_whatever_pieces_it_comes(pieces: list[bytes]) -> None:
    connection, _ = asked(pieces)
    assert (connection.status, connection.headers, connection.take()) == (200, [(b"content-length", b"2")], b"ok")
    assert connection.reusable


@pytest.mark.parametrize("pieces", [[OK + OK], [OK, OK], [OK[:-1], OK[-1:] + OK], [OK + b"H"], [b"x"], [b"\r\nx"]])
def test_what_nobody_has_asked_for_ends_it(pieces: list[bytes]) -> None:
    """Else it would be taken for a part of this answer, or for the next one."""
    connection, socket = asked(pieces)
    assert socket.aborted
    assert not connection.reusable


def test_an_upgrade_that_nobody_has_asked_for_ends_it() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    connection, socket = asked([head])
    assert socket.aborted
    assert not connection.complete


@given(st.integers(200, 599), st.binary(max_size=60), PLACES)
def test_answers_are_read_in_whatever_pieces_they_come(status: int, body: bytes, places: list[int]) -> None:
    if status in (204, 304):
        return
    connection, socket = asked(cut(Refusal(status, body).encode(), places))
    assert (connection.status, connection.take(), connection.complete) == (status, body, True)
    assert not connection.reusable, "it said that it closes"
    assert not socket.aborted


@given(
    damaged(st.sampled_from([OK, OK + OK, Refusal(400, b"{}").encode()]), [b"\r\n", b"0\r\n\r\n", b"Upgrade: a"]),
    PLACES,
)
def test_anything_else_ends_it_and_nothing_worse(data: bytes, places: list[int]) -> None:
    connection, socket = asked(cut(data, places))
    assert not (connection.reusable and socket.aborted)
    if connection.reusable:
        assert data.count(b"HTTP/1.1") == 1
