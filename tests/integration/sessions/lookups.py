"""A user, and sessions in a MongoDB."""

from __future__ import annotations

import pytest

from kit.servers.mongo_server import MongoDatabase
from tradecast.config.settings import load_settings
from tradecast.redis_client.single import SingleClient
from tradecast.sessions.create import create_sessions
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import User
from tradecast.sessions.service import Sessions

ANN = User("u1", "Ann", "ann@example.org", True, "premium")


async def refusal(sessions: Sessions, raw_id: object, user_id: object) -> str:
    with pytest.raises(AuthRefused) as refused:
        await sessions.authenticate(raw_id, user_id)
    return refused.value.code


def in_mongo(mongo: MongoDatabase, redis: SingleClient | None = None, **environ: str) -> Sessions:
    environ = {
        "MONGODB_URI": mongo.uri,
        "MONGODB_DATABASE": mongo.database,
        "MONGODB_TIMEOUT": "20",
        **environ,
    }
    return create_sessions(load_settings(environ), redis)
