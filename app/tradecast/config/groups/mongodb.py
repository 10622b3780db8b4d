"""MongoDB."""

from __future__ import annotations

from pydantic import Field

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    ReadableFile,
    Seconds,
)
from tradecast.config.urls import MongodbUri


class MongodbSettings(Group):
    """Connections to MongoDB."""

    mongodb_uri: MongodbUri = Field(None, description="mongodb:// or mongodb+srv://; absent: no database")
    mongodb_database: str | None = Field(None, description="Database; absent: the one in MONGODB_URI, else `test`")
    mongodb_ca_file: ReadableFile = Field(
        None, description="PEM bundle of the authority that signs MongoDB's certificate"
    )
    mongodb_timeout: Seconds = Field(
        2, description="Seconds that one MongoDB request may take, server selection included"
    )
