"""Errors arrive at a Sentry: a real HTTP server in its place, and a process of its own that reports to it."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPORTING = """
import sys
from tradecast.observability.logs import configure_logging
from tradecast.observability.sentry import configure_sentry

configure_logging("info", "json")
assert configure_sentry(sys.argv[1], "staging", "1.2.3")
if "patient" in sys.argv:
    import sentry_sdk

    sentry_sdk.get_client().options["shutdown_timeout"] = 30  # a busy machine may need more than the usual two seconds

import logging
import structlog

log = structlog.stdlib.get_logger("tradecast.test")
log.info("crumb with ann@planted.example")
logging.getLogger("http").info("GET http://planted.example/?sid=planted")


def fail(session_id):
    password = "planted-local-" + session_id
    raise ValueError("planted message " + session_id)


try:
    fail("planted-argument")
except ValueError:
    log.exception("event failed", user_id="u1", email="planted-mail", note="from 203.0.113.9")
logging.getLogger("some.library").error("lost %s of ann@planted.example", "PlantedSid0123456789")
log.warning("no error")
if "crash" in sys.argv:
    fail("planted-crash")
"""


class Sentry:
    """What arrived."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.bodies.append(body)
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def dsn(self) -> str:
        return f"http://publickey@127.0.0.1:{self.server.server_address[1]}/42"

    def events(self) -> list[dict[str, Any]]:
        """The events of all envelopes (https://develop.sentry.dev/sdk/foundations/transport/envelopes/)."""
        found = []
        for body in self.bodies:
            rows = body.split(b"\n")
            for head, item in zip(rows[1::2], rows[2::2], strict=False):
                if json.loads(head).get("type") == "event":
                    found.append(json.loads(item))
        return found

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(30)


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    made = Sentry()
    yield made
    made.close()


def report(dsn: str, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if path is not None:
        environ["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-c", REPORTING, dsn, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )


def test_errors_arrive_without_what_was_planted(sentry: Sentry) -> None:
    done = report(sentry.dsn, "patient")
    assert done.returncode == 0, done.stderr
    failed, lost = sorted(sentry.events(), key=lambda event: str(event.get("logger")), reverse=True)
    assert failed["message"] == "event failed"
    assert failed["environment"] == "staging"
    assert failed["release"] == "1.2.3"
    assert failed["extra"]["user_id"] == "u1"
    (value,) = failed["exception"]["values"]
    assert (value["type"], value["value"]) == ("ValueError", "")
    assert value["stacktrace"]["frames"][-1]["function"] == "fail"
    assert lost["logger"] == "some.library"
    assert lost["message"] == "lost [redacted] of [redacted]"
    for body in sentry.bodies:
        assert b"planted" not in body.lower()
        assert b"203.0.113.9" not in body
        assert b"server_name" not in body
        assert b"breadcrumbs" not in body
        assert b'"vars"' not in body
        assert os.uname().nodename.encode() not in body
    assert "planted" not in done.stderr.lower()


def test_a_crash_arrives(sentry: Sentry) -> None:
    done = report(sentry.dsn, "patient", "crash")
    assert done.returncode == 1
    assert len(sentry.events()) == 3
    crash = sentry.events()[-1]
    assert crash["exception"]["values"][0]["type"] == "ValueError"
    assert b"planted" not in b"".join(sentry.bodies).lower()


def test_a_dsn_without_the_extra_is_reported(tmp_path: Path) -> None:
    (tmp_path / "sentry_sdk.py").write_text("raise ImportError('not installed')\n")
    done = report("http://publickey@127.0.0.1:9/42", path=tmp_path)
    assert done.returncode == 1
    assert "SENTRY_DSN is set but sentry-sdk is not installed: pip install '.[sentry]'" in done.stderr


def test_a_wrong_dsn_is_reported_without_repeating_it() -> None:
    done = report("http://hiddenkey@nowhere")
    assert done.returncode == 1
    assert "SENTRY_DSN: is not a DSN of Sentry" in done.stderr
    assert "hiddenkey" not in done.stderr


def test_no_dsn_is_no_sentry() -> None:
    from tradecast.observability.sentry import configure_sentry

    assert configure_sentry("", "production", "1") is False
