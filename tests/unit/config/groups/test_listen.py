"""Origins that may be allowed."""

from __future__ import annotations

import pytest

from kit.settings import SECRET, assert_named, complaints
from tradecast.config.settings import load_settings


def test_origins_of_any_scheme() -> None:
    origins = "https://*.example.com, HTTPS://B.example:443,capacitor://localhost,ionic://localhost,file://,null"
    assert len(load_settings({"CORS_ORIGIN": origins}).cors_origin) == 6


def test_origin_that_can_never_match_is_named() -> None:
    (line,) = complaints(CORS_ORIGIN="https://a.example,https://b.example/")
    assert line.startswith("CORS_ORIGIN: entry 2 can never match: nothing may follow host and port")


@pytest.mark.parametrize("origins", ["*", "https://a.example", "http://127.0.0.1:5173,https://b.example"])
def test_origins_that_make_sense(origins: str) -> None:
    assert ",".join(load_settings({"CORS_ORIGIN": origins}).cors_origin) == origins


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("PORT", value) for value in ("abc", "-1", "65536", "80.5", "0x50")),
        ("ADMIN_PORT", "99999"),
        ("INTERNAL_PORT", "-1"),
        *(
            (variable, value)
            for variable in ("HOST", "ADMIN_HOST", "INTERNAL_HOST")
            for value in (
                "http://a",
                "a:80",
                "127.0.0.1:80",
                "[::1]:80",
                "::g",
                "a b",
                "*.a",
                "127.0.0.1,::1",
                "/run/x",
            )
        ),
        *(
            ("ADVERTISED_ADDRESS", value)
            for value in (
                "*",
                "::",
                "[::]",
                "0.0.0.0",
                "fe80::1%eth0",
                "[::1]:9200",
                "a:1",
                "http://10.0.0.1",
                "10.0.0.1/x",
                "a b",
                "x" * 254,
            )
        ),
        # of Node's milliseconds
        ("KEEP_ALIVE", "5000"),
        ("HEAD_TIMEOUT", "60000"),
        ("BODY_TIMEOUT", "1000"),
        ("TLS_TIMEOUT", "10000"),
        *(("SHUTDOWN_TIMEOUT", value) for value in ("10000", "0")),
        *(
            ("CORS_ORIGIN", value)
            for value in (
                "example.com",
                "https://",
                "https://a.example/",
                "https://a.example/path",
                "*,https://a.example",
                "https://a b",
                "https://a.example https://b.example",
                "https://a.example,https://*",
                "http://localhost:*",
                "file:///",
                f"https://user:{SECRET}@a.example",
            )
        ),
        *(
            ("SOCKET_PATH", value)
            for value in (
                "/",
                "//",
                "/a b",
                "/a?b",
                "/a#b",
                "/../x",
                "/./x",
                "https://a/socket.io",
                "/a%20b",
                "/ü",
                "/a\\b",
                "/health",
                "metrics/",
                "/api",
                "/api/emit",
                "/demo",
                "/demo/static/",
                "/health/ready",
                "health/live/",
                "/health/x",
                "/api/emit/socket.io",
            )
        ),
        ("REQUIRE_TLS", "perhaps"),
        ("INTERNAL_CERT_FILE", "/nonexistent/file.pem"),
        *(("INTERNAL_SERVER_NAME", value) for value in ("-a", "a b", "https://a", "x" * 254)),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
