"""A cause in words: with the address and without, and as fields of a log line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tradecast.causes import Cause, Code
from unit.causes.errors import HERE, THERE


def test_the_address_is_in_the_sentence_only() -> None:
    cause = Cause(Code.REFUSED, HERE)
    assert cause.sentence.startswith("Redis at 10.0.0.1:6379 ")
    assert cause.without_address == cause.sentence.replace(" at 10.0.0.1:6379", "")
    assert Cause(Code.REFUSED, replace(HERE, at="")).sentence == cause.without_address


def test_a_share_of_a_cluster_comes_first() -> None:
    cause = Cause(Code.TIMED_OUT, HERE)
    part = replace(cause, share="1 of 3 masters away")
    assert part.sentence == f"1 of 3 masters away: {cause.sentence}"
    assert part.without_address == f"1 of 3 masters away: {cause.without_address}"
    assert part.remedy == cause.remedy


@pytest.mark.parametrize(
    ("code", "silence"),
    [
        (Code.REFUSED, True),
        (Code.TIMED_OUT, True),
        (Code.NO_SOCKET, True),
        (Code.PASSWORD_WRONG, False),
        (Code.OTHER_SERVICE, False),
    ],
)
def test_silence_is_that_nothing_answered(code: Code, silence: bool) -> None:
    assert Cause(code, HERE).is_silence is silence


def test_fields_of_a_log_line() -> None:
    cause = Cause(Code.LOADING, HERE)
    assert cause.fields() == {"cause": "loading", "why": cause.sentence, "remedy": cause.remedy}


def test_a_remedy_names_what_the_place_has() -> None:
    assert "rediss+cluster:// in REDIS_URL" in Cause(Code.TLS_EXPECTED, replace(HERE, kind="cluster")).remedy
    assert "tls=true in MONGODB_URI" in Cause(Code.TLS_EXPECTED, THERE).remedy
    assert "ACL SETUSER" in Cause(Code.NO_PERMISSION, HERE, "the command GET").remedy
    assert "readWrite" in Cause(Code.NO_PERMISSION, THERE, "the command find").remedy
