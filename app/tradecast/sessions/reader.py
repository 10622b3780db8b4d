"""Records of a store read as sessions, with what the users collection adds to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from tradecast.sessions.documents.document import (
    SessionFields,
    find_unknown_tier,
    find_user,
    merge_user,
    read_session,
)
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import Session
from tradecast.sessions.stores.base import SessionRecord

# Unknown values of tiers that are logged, each once.
MOST_UNKNOWN_TIERS: Final = 100
log = structlog.stdlib.get_logger("tradecast.auth")


class SessionReader:
    """Reads records, and logs each value of a tier that has no meaning here once.

    Args:
        fields: Where things are in a session's JSON.
        has_users: Whether tier and admin flag come from a users collection (`merge`), not from the session.
        clock: Unix time in seconds.
    """

    def __init__(self, fields: SessionFields, *, has_users: bool, clock: Callable[[], float] = time.time) -> None:
        self._fields = fields
        self._has_users = has_users
        self._clock = clock
        self._unknown_tiers: set[str] = set()

    def read(self, record: SessionRecord | None) -> Session:
        """The session in a record; None: there is none.

        Raises:
            AuthRefused: SESSION_NOT_FOUND or SESSION_EXPIRED.
        """
        if record is None:
            raise AuthRefused("SESSION_NOT_FOUND", "not_in_store")
        session = read_session(record, self._fields, self._clock())
        if not self._has_users and session.user.tier == "free":
            self._log_unknown_tier(find_user(record, self._fields))
        return session

    def merge(self, session: Session, documents: Mapping[str, Mapping[str, Any]] | None) -> Session:
        """A session with what the users collection has about its user.

        Args:
            session: As it was read.
            documents: Documents by user id; None where there is no users collection.

        Raises:
            AuthRefused: SESSION_NOT_FOUND: the user is not in the collection.
        """
        if documents is None:
            return session
        document = documents.get(session.user.id)
        if document is None:
            raise AuthRefused("SESSION_NOT_FOUND", "not_in_users")
        user = merge_user(session.user, document, self._fields)
        if user.tier == "free":
            self._log_unknown_tier(document)
        return replace(session, user=user)

    def merge_all(
        self, sessions: Iterable[Session], documents: Mapping[str, Mapping[str, Any]] | None
    ) -> list[Session]:
        """As `merge`, for many; those of users who are not in the collection are left out."""
        merged = []
        for session in sessions:
            try:
                merged.append(self.merge(session, documents))
            except AuthRefused:
                continue
        return merged

    def _log_unknown_tier(self, source: Mapping[str, Any]) -> None:
        value = find_unknown_tier(source, self._fields)
        if value is not None and value not in self._unknown_tiers and len(self._unknown_tiers) < MOST_UNKNOWN_TIERS:
            self._unknown_tiers.add(value)
            log.warning("a user's tier is unknown and counts as free: SESSION_TIERS can say what it means", tier=value)
