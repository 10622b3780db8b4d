"""What `tradecast check` shows of what it found."""

from __future__ import annotations

from tradecast.causes import REDIS, Cause, Code, Place
from tradecast.check.report import Finding, Report

REFUSED = Finding.of("REDIS_URL", Cause(Code.REFUSED, Place(REDIS, "h:1")))


def test_a_warning_is_no_error() -> None:
    assert Report([Finding("a", "ok", "fine"), Finding("b", "warning", "hm", "do it")], {}).ok
    assert not Report([REFUSED], {}).ok


def test_a_line_each_and_the_remedy_below() -> None:
    report = Report(
        [Finding("PORT", "ok", "port 1 is free"), REFUSED, Finding("x", "warning", "hm")], {"mode": "pubsub"}
    )
    lines = report.text().splitlines()
    assert lines[:3] == [
        "ok       PORT: port 1 is free",
        "error    REDIS_URL: Redis at h:1 refuses the connection: nothing listens there",
        "         -> Start Redis, or correct host and port in REDIS_URL",
    ]
    assert "  mode:            pubsub" in lines
    assert lines[-1] == "1 error, 1 warning"


def test_as_json() -> None:
    told = Report([REFUSED], {"mode": "pubsub"}).as_dict()
    assert told == {
        "ok": False,
        "looks": [
            {
                "name": "REDIS_URL",
                "state": "error",
                "says": "Redis at h:1 refuses the connection: nothing listens there",
                "cause": "refused",
                "remedy": "Start Redis, or correct host and port in REDIS_URL",
            }
        ],
        "plan": {"mode": "pubsub"},
    }
