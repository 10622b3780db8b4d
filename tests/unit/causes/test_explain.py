"""What an error means: by its class, its text, and what is around it."""

from __future__ import annotations

from dataclasses import replace

import pymongo.errors
import pytest
import redis.exceptions
from hypothesis import given
from hypothesis import strategies as st

from tradecast.causes import (
    Cause,
    Code,
    Failed,
    Place,
    explain_error,
)
from tradecast.sessions.errors import StoreUnavailable
from unit.causes.errors import HERE, THERE, around


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (redis.exceptions.ConnectionError("what nobody knows"), Code.UNREACHABLE),
        (Failed(Code.NOT_SUBSCRIBED), Code.NOT_SUBSCRIBED),
        (around(ConnectionRefusedError(), Failed(Code.NOT_SUBSCRIBED)), Code.REFUSED),
        (redis.exceptions.ResponseError("something new"), Code.ERROR),
        (StoreUnavailable(), Code.UNREACHABLE),
        (KeyError("x"), Code.ERROR),
    ],
)
def test_errors_around_redis(error: Exception, code: Code) -> None:
    assert explain_error(error, HERE).code == code
    if code != Code.ERROR:  # of a store that is away, no more is known then
        assert explain_error(around(error, StoreUnavailable("Redis")), HERE).code == code


def test_of_several_nodes_the_one_that_failed_is_named() -> None:
    cluster = replace(HERE, at="a:1,b:2", kind="cluster")
    assert (
        explain_error(redis.exceptions.ConnectionError("Error 111 connecting to b:2. Refused"), cluster).place.at
        == "b:2"
    )
    assert explain_error(TimeoutError(), cluster).place.at == "a:1,b:2"
    members = replace(THERE, at="a:1,b:2")
    assert explain_error(pymongo.errors.AutoReconnect("b:2: [Errno 111] Connection refused"), members).place.at == "b:2"


def test_whoever_knows_more_is_believed() -> None:
    known = Cause(Code.LOADING, HERE)
    assert explain_error(around(StoreUnavailable("x", cause=known)), THERE) is known
    marked = TimeoutError()
    marked.__dict__["place"] = THERE
    assert explain_error(around(marked), HERE).place is THERE
    away = TimeoutError()
    away.__dict__["in_words"] = "1 of 3 masters away"
    assert explain_error(away, HERE).sentence == "1 of 3 masters away: Redis at 10.0.0.1:6379 does not answer in time"


KINDS: list[type[Exception]] = [
    *(redis.exceptions.ConnectionError, redis.exceptions.ResponseError, redis.exceptions.NoPermissionError),
    *(pymongo.errors.OperationFailure, pymongo.errors.AutoReconnect, OSError, ValueError),
]


@given(st.sampled_from(KINDS), st.text(), st.text(), st.sampled_from([HERE, THERE, replace(HERE, at="a:1,b:2")]))
def test_nothing_that_a_driver_says_comes_through(kind: type[Exception], left: str, right: str, place: Place) -> None:
    planted = "planted-pa55word"
    cause = explain_error(around(kind(f"{left}://ann:{planted}@{right}")), place)
    assert planted not in cause.sentence + cause.remedy + cause.without_address
    assert "\n" not in cause.sentence
