"""What passes between servers: signatures and sids hold for what they were made for, and heads say what they do."""

from __future__ import annotations

import h11
from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.checks import KEYS, NOW
from tradecast.engine.http.request import Request
from tradecast.polling_relay.owner.http_heads import HOP_BY_HOP, BadHead, answer_headers, request_head
from tradecast.polling_relay.sids import BOOT, RANDOM, boot_of, make_sid
from tradecast.polling_relay.signatures import HEADER, SKEW, sign_request, signed_for

WORDS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
BOOTS = st.text(WORDS, min_size=BOOT, max_size=BOOT)
KEY, OTHER = KEYS
METHODS = st.sampled_from(["GET", "POST", "OPTIONS"])
TARGETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40).map(
    lambda text: b"/" + text.encode()
)


@given(BOOTS, st.integers(0, 60), st.characters(exclude_categories=["Cs"]))
def test_a_sid_names_its_server_until_anything_in_it_changes(boot: str, place: int, letter: str) -> None:
    sid = make_sid(boot, KEY)
    assert boot_of(sid, KEYS) == sid[RANDOM : RANDOM + BOOT] == boot
    changed = sid[:place] + letter + sid[place + 1 :]
    assert boot_of(changed, KEYS) == (boot if changed == sid else None)
    assert boot_of(sid, [OTHER]) is None


@given(METHODS, TARGETS, BOOTS, st.floats(-SKEW - 5, SKEW + 5), METHODS, TARGETS)
def test_a_signature_is_good_for_its_request_and_a_minute(
    method: str, target: bytes, boot: str, apart: float, other_method: str, other: bytes
) -> None:
    value = sign_request(KEY, method, target, boot, NOW)
    found = signed_for(value, [OTHER, KEY], method, target, NOW + apart)
    assert found == (boot if abs(apart) <= SKEW else None)
    assert signed_for(value, [OTHER], method, target, NOW) is None
    if (other_method, other) != (method, target):
        assert signed_for(value, [KEY], other_method, other, NOW) is None


@given(METHODS, TARGETS, BOOTS, st.data())
def test_a_changed_signature_is_none(method: str, target: bytes, boot: str, data: st.DataObject) -> None:
    value = bytearray(sign_request(KEY, method, target, boot, NOW))
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= data.draw(st.integers(1, 255))
    assert signed_for(bytes(value), [KEY], method, target, NOW) is None


NAMES = st.sampled_from(
    [
        *(b"origin", b"X-Forwarded-Proto", b"x-a", b"X-B", b"Cookie", b"Connection", b"Upgrade", b"Expect"),
        *(b"Content-Length", b"X-Tradecast-Forward", b"x-tradecast-refused", b"TE", b"Transfer-Encoding"),
    ]
)
VALUES = st.sampled_from(["", "a", "x-a, X-B", "host, x-forwarded-proto", "close", "a:b", "é", "chunked"]).map(
    str.encode
)
BAD_VALUES = st.text("a\r\n:", max_size=4).map(str.encode)


@st.composite
def header_lists(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    """Headers with one host, which HTTP/1.1 asks for, and few values that no parser lets through."""
    found = draw(st.lists(st.tuples(NAMES, VALUES), max_size=6))
    found += draw(st.lists(st.tuples(NAMES, BAD_VALUES), max_size=1)) if draw(st.integers(0, 3)) == 0 else []
    return draw(st.permutations([*found, (b"Host", b"a")]))


HEADERS = header_lists()


@given(st.sampled_from(["GET", "POST"]), TARGETS, HEADERS, st.sampled_from(["http", "https"]), st.integers(0, 9))
def test_a_head_is_one_request_with_what_may_be_forwarded_and_nothing_else(
    method: str, target: bytes, headers: list[tuple[bytes, bytes]], scheme: str, size: int
) -> None:
    path, _, query = target.partition(b"?")
    request = Request(
        method=method,
        path=path.decode(),
        raw_path=path,
        query_string=query,
        headers=headers,
        scheme=scheme,
        websocket=False,
    )
    try:
        head = request_head(request, b"signature", size)
    except BadHead:
        assert any(b"\r" in value or b"\n" in value for _, value in headers)
        return
    owner = h11.Connection(h11.SERVER)
    owner.receive_data(head + b"x" * (size if method == "POST" else 0))
    read = owner.next_event()
    assert isinstance(read, h11.Request)
    assert (bytes(read.method), bytes(read.target)) == (method.encode(), request.target)
    names = [name for name, _ in read.headers]
    assert names.count(HEADER) == 1
    assert (HEADER, b"signature") in list(read.headers)
    assert not HOP_BY_HOP & set(names)
    assert b"cookie" not in names
    assert b"x-tradecast-refused" not in names
    assert names.count(b"content-length") == (method == "POST")
    kept = [one for one in read.headers if one[0] in (b"host", b"origin")]
    assert kept == [(name.lower(), value) for name, value in headers if name.lower() in (b"host", b"origin")]


@given(HEADERS)
def test_what_an_owner_answers_is_passed_on_without_what_is_between_servers(headers: list[tuple[bytes, bytes]]) -> None:
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = {*HOP_BY_HOP, b"x-tradecast-forward", b"x-tradecast-refused", b"content-length", b"date", b"server"}
    assert answer_headers(lowered) == [one for one in lowered if one[0] not in dropped]
