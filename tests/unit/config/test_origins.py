"""Origins in one form, and what an operator is told of those that no browser sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradecast.config.origins import MOST_CHARACTERS, parse_allowed, parse_origin


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.Example", "https://a.example"),
        ("wss://a.example", "https://a.example"),
        ("ws://a.example:80", "http://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("https://a.example:0443", "https://a.example"),
        ("https://a.example:", "https://a.example"),
        ("https://a.example:80", "https://a.example:80"),
        ("http://a.example:443", "http://a.example:443"),
        ("https://a.example.", "https://a.example"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("https://☕.example", "https://xn--53h.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://my_host:1", "http://my_host:1"),
        ("http://192.168.0.7:8080", "http://192.168.0.7:8080"),
        ("http://[0:0:0:0:0:0:0:1]:80", "http://[::1]"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("Ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://.", "app://."),
        ("app://", "app://"),
        ("com.example.app://host:8", "com.example.app://host:8"),
        ("chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb", "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb"),
        ("moz-extension://0c1a-2b", "moz-extension://0c1a-2b"),
        ("file://", "file://"),
        ("null", "null"),
        ("NULL", "null"),
    ],
)
def test_one_form(written: str, canonical: str) -> None:
    assert str(parse_allowed(written)) == canonical
    sent = written.encode().decode("latin-1")
    assert parse_origin(sent) == parse_origin(canonical) == parse_allowed(written)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "example.com", "//example.com", "https:example.com", "https//example.com", "https://", "https://."),
        *("https://a.example/", "https://a.example/x", "https://a.example?x", "https://a.example#x", "https://a\\b"),
        *("https://u:p@a.example", "https://a b", "https://a.example:x", "https://a.example:0", "https://a:65536"),
        *("https://a..example", "https://-a.example", "https://a%20b", "https://a.example:-1", "https://a:1:2"),
        *("https://a.example;https://b.example", "https://[::1", "https://::1", "https://[::1%25eth0]", "https://[1]"),
        *("http://127.1", "http://256.1.1.1", "http://0x7f000001", "http://2130706433", "http://1.2.3.4.5"),
        *(
            "https://*",
            "https://*.",
            "https://a*.example",
            "https://*a.example",
            "https://a.*.example",
            "https://*.*.a",
        ),
        *("https://**.example", "*://a.example", "http://localhost:*", "https://*.127.0.0.1", "https://*.[::1]", "*."),
        *(
            "http*://a.example",
            "chrome-extension://*",
            "file:///",
            "file:///etc",
            "file://host",
            "blob://a",
            "data://a",
        ),
        *('"https://a.example"', '["https://a.example"]', "'*'", "https://a.example\n", "https://\u200b.example"),
    ],
)
def test_what_can_never_match_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w{3}"):
        parse_allowed(text)


@pytest.mark.parametrize("text", ["https://*.example.com", "http://*.localhost:3000", "https://*.Bücher.example"])
def test_a_label_may_be_any(text: str) -> None:
    assert parse_allowed(text).host.startswith("*.")


@pytest.mark.parametrize(
    "text", ["", "x", "https://a.example/", "https://u@a", "https://\xff\xfe", "https://[::g]", "https://a:99999"]
)
def test_what_a_client_sends_may_be_no_origin(text: str) -> None:
    assert parse_origin(text) is None


def test_long_texts_are_not_looked_at() -> None:
    assert parse_origin("https://" + "a" * MOST_CHARACTERS) is None
    assert parse_origin("https://" + "a" * (MOST_CHARACTERS - 8)) is not None


@pytest.mark.parametrize("text", ["null", "file://"])
def test_some_origins_are_shared_by_strangers(text: str) -> None:
    assert parse_allowed(text).is_shared
    assert not parse_allowed("capacitor://localhost").is_shared


HOSTS = st.text(max_size=40) | st.text("aß☕.-*[]:0\u0301\u200d", max_size=20)


@given(st.sampled_from(["https://", "HTTP://", "app://", "wss://", "file://", ""]), HOSTS)
def test_anything_is_an_origin_in_one_form_or_none(scheme: str, host: str) -> None:
    text = scheme + host
    for sent in (text, text.encode(errors="surrogateescape").decode("latin-1")):
        found = parse_origin(sent)
        assert found is None or parse_origin(str(found)) == found
    try:
        allowed = parse_allowed(text)
    except ValueError:
        return
    assert parse_allowed(str(allowed)) == allowed
