"""BSON's own types as Python's: times, and ids."""

from __future__ import annotations

import time

import pytest
from bson import BSON
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128

from tradecast.sessions.documents.document import SessionFields, read_session
from tradecast.sessions.documents.instants import read_instant
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.stores.mongo import read_document
from tradecast.sessions.stores.mongo_database import MongoDatabase
from tradecast.user_id import read_user_id

DAY = 86_400


@pytest.mark.parametrize("years", [-60_000, 7_000, 8_030, 200_000])
def test_times_that_python_has_no_date_for(years: int) -> None:
    """As MongoDB sends them: SecantusDB takes no such date from a client."""
    at = round(years * 365 * DAY * 1000)
    session = {"cookie": {"expires": DatetimeMS(at), "originalMaxAge": 5.0}}
    sent = BSON.encode({"_id": "s", "expires": DatetimeMS(at), "session": session})
    codec = MongoDatabase("mongodb://127.0.0.1:1").collection("sessions").codec_options
    found = read_document(sent.decode(codec))
    assert found.expires_at == at / 1000
    assert isinstance(found.data, dict)
    assert read_instant(found.data["cookie"]["expires"]) == at / 1000


def test_a_session_beyond_the_year_9999_lasts() -> None:
    now = time.time()
    age = 8_000 * 365 * DAY
    end = DatetimeMS(round((now + age) * 1000))
    session = {"cookie": {"expires": end, "originalMaxAge": age * 1000}, "passport": {"user": 5}}
    codec = MongoDatabase("mongodb://127.0.0.1:1").collection("sessions").codec_options
    stored = read_document(BSON.encode({"_id": "s", "expires": end, "session": session}).decode(codec))
    fields = SessionFields()
    assert read_session(stored, fields, now).expires_at == pytest.approx(now + fields.max_age, abs=1)


def test_the_latest_time_of_all_is_an_end() -> None:
    codec = MongoDatabase("mongodb://127.0.0.1:1").collection("sessions").codec_options
    found = read_document(BSON.encode({"_id": "s", "expires": DatetimeMS(2**63 - 1)}).decode(codec))
    assert found.expires_at is not None
    assert found.expires_at > 2**40


@pytest.mark.parametrize("written", ["7.5", "5.0000000000000000001", "NaN", "Infinity", "1E+40"])
def test_a_decimal_that_is_no_id_is_reported_as_one_that_is_none(written: str) -> None:
    codec = MongoDatabase("mongodb://127.0.0.1:1").collection("sessions").codec_options
    sent = BSON.encode({"_id": "s", "session": {"passport": {"user": Decimal128(written)}}})
    with pytest.raises(AuthRefused) as refused:
        read_session(read_document(sent.decode(codec)), SessionFields(), time.time())
    assert refused.value.reason == "bad_user_id"  # and not `no_user`, as if nobody had logged in


def test_a_time_is_no_user() -> None:
    codec = MongoDatabase("mongodb://127.0.0.1:1").collection("sessions").codec_options
    for at in (0, 2**50):
        sent = BSON.encode({"_id": "s", "session": {"passport": {"user": {"id": DatetimeMS(at)}}}})
        data = read_document(sent.decode(codec)).data
        assert isinstance(data, dict)
        assert read_user_id(data["passport"]["user"]["id"]) is None
