"""The users collection in MongoDB: what sessions do not have about their users."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from bson.binary import Binary
from bson.objectid import ObjectId

from tradecast.sessions.stores.bson_values import MAX_DEPTH, to_plain
from tradecast.sessions.stores.mongo_database import Document, MongoDatabase
from tradecast.user_id import read_user_id

INT64: Final = range(-(2**63), 2**63)
OBJECT_ID: Final = re.compile(r"[0-9a-f]{24}")
UUID_TEXT: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class MongoUsers:
    """Users by their id: an ObjectId (given by its hex digits), a UUID (by its text), a number or a text.

    Args:
        database: Closed with this.
        collection: Its name.
        id_field: Field of the id.
    """

    def __init__(self, database: MongoDatabase, collection: str, id_field: str = "_id") -> None:
        self._database = database
        self._collection = database.collection(collection)
        self._id_field = id_field

    async def load(self, ids: Collection[str]) -> dict[str, Document]:
        """The documents of the users among `ids` that exist, by id. One round trip.

        Raises:
            StoreUnavailable: MongoDB does not answer.
        """
        if not ids:
            return {}
        forms = [form for user_id in dict.fromkeys(ids) for form in _id_forms(user_id)]
        cursor = self._collection.find({self._id_field: {"$in": forms}}, batch_size=len(forms) + 1)
        found: dict[str, Document] = {}
        for document in await self._database.answer(cursor.to_list(None)):
            value = to_plain(document.get(self._id_field), 1)
            key = read_user_id(value) or str(value)  # Node writes large whole numbers as doubles
            # Text and number may both be there: the text is what the session said.
            if key not in found or isinstance(value, str):
                found[key] = document
        return {user_id: to_plain(found[user_id], MAX_DEPTH) for user_id in ids if user_id in found}

    async def close(self) -> None:
        """Close the database, which may be closed already."""
        self._database.close()


def _id_forms(user_id: str) -> list[Any]:
    """What an id of this text may be in BSON."""
    forms: list[Any] = [user_id]
    if OBJECT_ID.fullmatch(user_id):
        forms.append(ObjectId(user_id))
    if user_id.isascii() and user_id.removeprefix("-").isdigit() and len(user_id) <= 20 and int(user_id) in INT64:
        forms.append(int(user_id))
    if UUID_TEXT.fullmatch(user_id):
        forms.append(Binary.from_uuid(UUID(user_id)))
    return forms
