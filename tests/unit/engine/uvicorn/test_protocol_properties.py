"""Requests of any kind, in any pieces: taken where they are in order, bounded, and answered by the rules where not."""

from __future__ import annotations

from collections.abc import Sequence

import h11
from hypothesis import given
from hypothesis import strategies as st

from kit.clients.raw import client_frame
from kit.parsing.properties import PLACES, cut, damaged
from kit.parsing.raw_http import Asked, Talk, hold_talk
from tradecast.engine.frames import BINARY, TEXT
from tradecast.engine.http.connection_bounds import HttpLimits

TOKENS = st.text("abcXYZ019-_.!#", min_size=1, max_size=8).map(str.encode)
VALUES = st.text("abc XYZ\t019;,=\"'<é", max_size=12).map(lambda text: text.strip().encode("latin-1"))
HEADERS = st.lists(st.tuples(TOKENS.map(b"X-".__add__), VALUES), max_size=4)
TARGETS = st.builds(
    lambda path, query: b"/" + path + (b"?" + query if query else b""),
    st.text("ab/%2F.~é", max_size=9).map(lambda text: text.encode("ascii", "ignore")),
    st.text("ab=&%41+?/", max_size=20).map(str.encode),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One that is in order: without a body, or with one in either form."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"OPTIONS", b"HEAD"]))
    headers = [(b"Host", b"a"), *draw(HEADERS)]
    body = draw(st.binary(max_size=40)) if method in (b"POST", b"PUT") else b""
    if body and draw(st.booleans()):
        headers.append((b"Transfer-Encoding", b"chunked"))
        size = draw(st.integers(1, 40))
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        sent = body
        if method in (b"POST", b"PUT"):
            headers.append((b"Content-Length", b"%d" % len(body)))
    order = draw(st.permutations(headers))
    head = b"%b %b HTTP/1.1\r\n" % (method, draw(TARGETS)) + b"".join(b"%b: %b\r\n" % pair for pair in order)
    return head + b"\r\n" + sent


def by_h11(data: bytes) -> list[Asked]:
    """The requests as h11 reads them."""
    found = []
    while data:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        body = b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                head = event
            else:
                assert isinstance(event, h11.Data)
                body += bytes(event.data)
        found.append(Asked(head.method.decode(), head.target, [(bytes(n), bytes(v)) for n, v in head.headers], body))
        data = connection.trailing_data[0]
    return found


ODD = st.sampled_from(
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"GET http://a HTTP/1.1\r\n\r\n",
        b"GET ?a HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 13 + b"\r\n",
        b"GET /" + b"a" * 700 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"e" * 50 + b"\r\na\r\n" * 20,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: t\r\n" * 14 + b"\r\n",
    ]
)
BITS = [b"\r\n", b"\r\n\r\n", b"\n", b":", b" ", b"\0", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]


@given(st.lists(requests(), min_size=1, max_size=4), PLACES)
async def test_requests_that_are_in_order_are_taken_as_h11_reads_them(sent: list[bytes], places: Sequence[int]) -> None:
    data = b"".join(sent)
    talk = Talk()
    await talk.hear(cut(data, places))
    assert talk.asked == by_h11(data)
    assert [answer.status for answer in talk.answers] == [200] * len(sent)
    assert (talk.socket.state, talk.refused) == ("open", [])
    await talk.end()


@given(st.lists(requests() | damaged(requests(), BITS) | damaged(ODD, BITS), max_size=5).map(b"".join), PLACES)
async def test_anything_is_answered_by_the_rules_or_not_at_all(data: bytes, places: Sequence[int]) -> None:
    await hold_talk(cut(data, places))
    await hold_talk([data] if data else [])


@given(st.lists(requests(), min_size=1, max_size=8), st.just(b"what?\r\n\r\n") | ODD, st.integers(1, 3))
async def test_what_comes_behind_requests_is_never_answered_in_their_place(
    sent: list[bytes], last: bytes, together: int
) -> None:
    """All of them at once, or some: the last one comes while an earlier one is answered."""
    await hold_talk([b"".join(sent) + last])
    await hold_talk([b"".join(sent[:-together]), b"".join(sent[-together:]) + last][not sent[:-together] :])


@given(st.integers(1, 9))
async def test_requests_that_wait_are_bounded_in_number(count: int) -> None:
    talk = await hold_talk([b"GET / HTTP/1.1\r\n\r\n" * count])
    assert (talk.refused == ["pipelined"]) is (count > talk.bounds.limits.pipelined + 1)


@given(st.integers(-3, 3), st.sampled_from(["head", "lines", "query"]), st.booleans(), PLACES)
async def test_bounds_of_a_head_are_the_same_in_whatever_pieces_it_comes(
    more: int, bound: str, websocket: bool, places: Sequence[int]
) -> None:
    limits = HttpLimits(head_bytes=600, head_lines=20, query_bytes=120)
    target, lines = b"/socket.io/?EIO=4&transport=" + (b"websocket" if websocket else b"polling"), [b"Host: a"]
    if websocket:
        lines += [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"]
        lines += [b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    if bound == "query":
        target += b"&" + b"q" * (limits.query_bytes + more - len(target.partition(b"?")[2]) - 1)
    if bound == "lines":
        lines += [b"X: y"] * (limits.head_lines + more - len(lines))
    head = b"\r\n".join([b"GET %b HTTP/1.1" % target, *lines, b"", b""])
    if bound == "head":
        head = head[:-2] + b"X: " + b"y" * (limits.head_bytes + more - len(head) - 5) + b"\r\n\r\n"
    talk = Talk(limits)
    await talk.hear(cut(head, places))
    served = 101 if websocket else 200
    over = {"head": 431, "lines": 431, "query": 414}[bound]
    assert [answer.status for answer in talk.answers] == [served if more <= 0 else over]
    assert talk.refused == (
        [] if more <= 0 else [{"head": "head_bytes", "lines": "head_lines", "query": "query"}[bound]]
    )
    await talk.end()


MESSAGES = st.lists(st.text("ab☃", max_size=60) | st.binary(max_size=200), max_size=5)


@given(HEADERS, st.sampled_from([b"Upgrade", b"keep-alive, upgrade"]), MESSAGES, PLACES)
async def test_websockets_are_opened_and_read_in_whatever_pieces_they_come(
    headers: list[tuple[bytes, bytes]], connection: bytes, messages: list[str | bytes], places: Sequence[int]
) -> None:
    lines = [b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1", b"Host: a", b"Connection: " + connection]
    lines += [b"Upgrade: WebSocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    data = b"\r\n".join([*lines, *(name + b": " + value for name, value in headers), b"", b""])
    for one in messages:
        kind, payload = (TEXT, b"4" + one.encode()) if isinstance(one, str) else (BINARY, one)
        data += client_frame(kind & 0x0F, payload)
    talk = Talk()
    await talk.hear(cut(data, places))
    assert talk.upgraded
    assert [answer.status for answer in talk.answers] == [101]
    assert talk.messages == messages
    await talk.end()
