"""A cause in words: the sentences of the catalogue, filled in for one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradecast.causes.catalogue import WORDS
from tradecast.causes.codes import Code
from tradecast.causes.places import MONGODB, REDIS, SERVER, Kind, Place

_SILENCE: Final = (Code.REFUSED, Code.UNRESOLVABLE, Code.TIMED_OUT, Code.UNREACHABLE, Code.CLOSED, Code.NO_SOCKET)
_SUFFIXES: Final[dict[Kind, str]] = {"single": "://", "cluster": "+cluster://", "sentinel": "+sentinel://"}


class OwnText(str):
    """Words of our own: they may name an address, a dependency's or a listed one, which other texts in logs may not."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something does not work.

    Attributes:
        code: In one word.
        place: What was asked; `at` is one node where that is known.
        detail: What it is about: a command, a database, what speaks there.
        share: How much of a cluster is concerned; "": all, or it is not known.
    """

    code: Code
    place: Place
    detail: str = ""
    share: str = ""

    @property
    def sentence(self) -> OwnText:
        """What is wrong, with the address."""
        place = self.place
        return OwnText(self._sentence(f"{place.service} at {place.at}" if place.at else place.service))

    @property
    def is_silence(self) -> bool:
        """Whether nothing answered, rather than something else than is needed."""
        return self.code in _SILENCE

    @property
    def without_address(self) -> OwnText:
        """What is wrong, for those who need not know where things are."""
        return OwnText(self._sentence(self.place.service))

    @property
    def remedy(self) -> OwnText:
        """What to do."""
        return OwnText(_fill_in(WORDS[self.code][1], self, self.place.service))

    def _sentence(self, who: str) -> str:
        words = _fill_in(WORDS[self.code][0], self, who)
        return f"{self.share}: {words}" if self.share else words

    def fields(self) -> dict[str, str]:
        """Fields of a log line."""
        return {"cause": str(self.code), "why": self.sentence, "remedy": self.remedy}


def _fill_in(template: str, cause: Cause, who: str) -> str:
    place, redis = cause.place, cause.place.service == REDIS
    schemes = {
        REDIS: ("rediss" + _SUFFIXES[place.kind], "redis" + _SUFFIXES[place.kind]),
        MONGODB: ("tls=true", "tls=false"),
        SERVER: ("https://", "http://"),
    }[place.service]
    sentinel = place.kind == "sentinel"
    return template.format(
        who=who,
        service=place.service,
        at=place.at or "HOST:PORT",
        setting=place.setting,
        detail=cause.detail,
        timeout={REDIS: "REDIS_TIMEOUT", MONGODB: "MONGODB_TIMEOUT", SERVER: "the timeout"}[place.service],
        ca_setting={REDIS: "REDIS_CA_FILE", MONGODB: "MONGODB_CA_FILE", SERVER: "SSL_CERT_FILE"}[place.service],
        tls_scheme=f"{schemes[0]} in {place.setting}",
        plain_scheme=f"{schemes[1]} in {place.setting}",
        password_setting=", or REDIS_USERNAME and REDIS_PASSWORD"
        + (" (for the Sentinels: REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD)" if sentinel else "")
        if redis
        else "",
        client_certificate="Set REDIS_CERT_FILE and REDIS_KEY_FILE to a certificate and key, signed by an authority "
        "that Redis knows (or set `tls-auth-clients no` in Redis)"
        if redis
        else "Set the certificate and key in MONGODB_URI (`tlsCertificateKeyFile`)",
        grant="Grant it to the user: `ACL SETUSER`, docs/check.md has the complete list"
        if redis
        else "Give the user the role readWrite on the database (`db.grantRolesToUser`)",
    )
