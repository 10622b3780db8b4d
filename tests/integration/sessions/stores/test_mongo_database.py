"""The connection to MongoDB: its address, options and names."""

from __future__ import annotations

import pytest

from kit.servers.mongo_server import MongoDatabase as Database
from tradecast.config.settings import SettingsError
from tradecast.sessions.stores.mongo import MongoStore
from tradecast.sessions.stores.mongo_database import MongoDatabase

pytestmark = pytest.mark.mongodb


@pytest.mark.parametrize(
    "uri", ["mongodb://", "mongodb://u:secret@[::1", "mongodb://h:99999/", "mongodb://h/?tls=false&x"]
)
def test_invalid_uri(uri: str) -> None:
    with pytest.raises(SettingsError, match="MONGODB_URI") as error:
        MongoDatabase(uri, None, 1, None if "tls" not in uri else "/nonexistent.pem")
    assert "secret" not in str(error.value)


async def test_invalid_collection_name(mongo_server: Database) -> None:
    database = MongoDatabase(mongo_server.uri, mongo_server.database)
    with pytest.raises(SettingsError, match="SESSION_COLLECTION"):
        MongoStore(database, "..")
    database.close()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        *((f"{option}=1", f"option `{option}` is unknown") for option in ("retryWrite", "poolSize", "family")),
        *((f"w=majority&tls={value}", "option `tls` has an invalid value") for value in ("maybe", "", "1")),
        ("readPreference=bogus", "option `readPreference` has an invalid value"),
        ("connectTimeoutMS=abc", "option `connectTimeoutMS` has an invalid value"),
        ("tlsCAFile=/nonexistent.pem", "option `tlsCAFile`: the file"),
        ("ssl=true&tls=false", "MONGODB_URI"),
        ("journal", "option `journal` has an invalid value"),
    ],
)
def test_options_that_the_driver_would_ignore(query: str, named: str) -> None:
    with pytest.raises(SettingsError, match=r"^MONGODB_URI: ") as caught:
        MongoDatabase(f"mongodb://u:planted@127.0.0.1/db?{query}")
    assert named in str(caught.value)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("mark", "?#")
def test_password_that_is_not_encoded_is_not_quoted(mark: str) -> None:
    with pytest.raises(SettingsError, match=r"^MONGODB_URI: .*%3F") as caught:
        MongoDatabase(f"mongodb://u:pl{mark}anted=x@127.0.0.1/db")
    assert "anted" not in str(caught.value)


def test_options_that_are_in_use() -> None:
    for query in ("", "?", "?retryWrites=true&w=majority&useUnifiedTopology=true", "?authSource=admin;replicaSet=rs0"):
        MongoDatabase(f"mongodb://127.0.0.1/db{query}").close()
