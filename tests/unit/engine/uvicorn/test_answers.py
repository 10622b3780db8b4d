"""The answers of an HTTP connection: which place each has."""

from __future__ import annotations

import pytest

from kit.parsing.raw_http import Answer, Talk

POST = b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"


async def test_what_is_no_request_gets_no_answer_in_the_midst_of_another_one() -> None:
    """It would be taken for a part of that one's body."""
    talk = Talk()
    talk.http.data_received(POST)
    await talk.until_it_writes()
    talk.http.data_received(b"what?\r\n\r\n")
    await talk.hear([])
    assert talk.socket.state == "aborted"
    assert b" 400 " not in talk.socket.written
    await talk.end()


async def test_what_is_no_request_gets_no_answer_in_the_place_of_another_one() -> None:
    """It would be taken for that one's."""
    talk = Talk()
    await talk.hear([POST + b"what?\r\n\r\n"])
    assert (talk.socket.state, talk.answers) == ("aborted", [])
    await talk.end()


@pytest.mark.parametrize(
    "request_",
    [
        b"what?\r\n\r\n",
        b"GET ?x HTTP/1.1\r\n\r\n",  # without a path
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
@pytest.mark.parametrize("before", [[], [POST]])
async def test_what_is_no_request_is_answered_in_its_own_place(before: list[bytes], request_: bytes) -> None:
    talk = Talk()
    for piece in (*before, request_):
        await talk.hear([piece])
    assert talk.answers == [Answer(200, b"ok: abc")] * len(before) + [Answer(400, b"Invalid HTTP request received.")]
    await talk.end()
