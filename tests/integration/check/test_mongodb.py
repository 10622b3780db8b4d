"""`tradecast check` of a MongoDB."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.check.checking import check, errors, named
from kit.servers.mongo_server import MongoDatabase
from kit.servers.troubles import MONGODB_TROUBLES, PLANTED, in_trouble


@pytest.mark.mongodb
@pytest.mark.parametrize("name", MONGODB_TROUBLES)
async def test_what_is_wrong_with_mongodb_is_said_with_address_and_remedy(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        report = await check(**trouble.environ)
    (found,) = errors(report)
    assert (found.cause, trouble.at in found.message) == (trouble.code, True), found
    assert trouble.about in f"{found.message} {found.remedy}"
    assert PLANTED not in report.text() + json.dumps(report.as_dict())


@pytest.mark.mongodb
async def test_mongodb_that_works_and_has_no_sessions_yet(mongo_server: MongoDatabase) -> None:
    report = await check(MONGODB_URI=mongo_server.uri, MONGODB_DATABASE=mongo_server.database)
    assert errors(report) == []
    assert "nothing in `sessions`" in named(report, "SESSION_COLLECTION").message
