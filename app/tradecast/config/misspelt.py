"""Finds variables of the environment that look like settings and are none. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

# Prefixes under which there are settings only, apart from what `_FOREIGN` knows.
FAMILIES: Final = ("SESSION_", "REDIS_", "RATE_LIMIT_", "MONGODB_", "DRAIN_", "ACCEPT_", "SOCKET_")
OWN_PREFIX: Final = "TRADECAST_"
# What the command line reads beside settings.
OWN: Final = frozenset({"TRADECAST_URL", "TRADECAST_ADMIN_URL"})
MOST_CHARACTERS: Final = 64
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
# Kubernetes makes these for each Service, Docker for each link; a Service may be called redis, or tradecast.
_LINK: Final = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_ADDR|_PORT|_PROTO|_START|_END)?|ENV_\w+)"
)
_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://")
# Near to settings, and everybody's: OpenSSL's, desktops', those that images and CI bring along.
_FOREIGN: Final = re.compile(
    r"SSL_CERT_(FILE|DIR)|SESSION_MANAGER|(REDIS|MONGODB)_(VERSION|DOWNLOAD_\w+|CHECKSUM|SHA\w*)|SOCKET_(FD|VMNETD)\w*"
    r"|POD_(IP|IPS|NAMESPACE|HOST|NODE|SERVICE_ACCOUNT)|NODE_NAME|HOST(NAME|TYPE|_IP|_NAME)?|PORT"
)


class Suspect(NamedTuple):
    """A variable that is no setting.

    Attributes:
        name: As it is set.
        meant: The setting that it may be meant for; None: there is none near.
    """

    name: str
    meant: str | None


def find_misspelt(environ: Mapping[str, str], settings: Collection[str]) -> list[Suspect]:
    """Variables that look like settings and are none, in order.

    Such are: a setting's name in lower case, with other separators or in another order of words; with a letter or two
    more, less, other or exchanged; with something behind it (`API_TOKEN_FILE`) or TRADECAST_ in front; and what has the
    prefix of a family of settings (`REDIS_HOST`).

    Args:
        environ: The environment.
        settings: All settings, in upper case.
    """
    known = frozenset(settings)
    by_words = {_split_words(name): name for name in known if "_" in name}
    found = []
    for name, value in sorted(environ.items()):
        if name in known or name in OWN or len(name) > MOST_CHARACTERS or not _NAME.fullmatch(name):
            continue
        plain = re.sub(r"[.-]", "_", name).upper()
        if _FOREIGN.fullmatch(plain) or _LINK.fullmatch(plain) or _is_link(plain, value):
            continue
        meant = _find_meant(plain, known, by_words)
        if meant is not None or plain.startswith(FAMILIES):
            found.append(Suspect(name, meant))
    return found


def _find_meant(plain: str, known: frozenset[str], by_words: Mapping[tuple[str, ...], str]) -> str | None:
    # Others call the database so.
    name = re.sub(r"^MONGO_", "MONGODB_", plain.removeprefix(OWN_PREFIX))
    if name in known:
        # Without an underscore it is anybody's word: `port` in a shell, `Host` in a build.
        return name if name != plain or "_" in name else None
    if (same := by_words.get(_split_words(name))) is not None:
        return same
    far = {one: measure_distance(name, one, _limit_typos(one)) for one in known}
    near = [(letters, one) for one, letters in far.items() if letters <= _limit_typos(one)]
    if near:
        return min(near)[1]
    longer = [one for one in known if "_" in one and name.startswith(f"{one}_")]
    return max(longer, key=len) if longer else None


def _split_words(name: str) -> tuple[str, ...]:
    return tuple(sorted(name.split("_")))


def _is_link(name: str, value: str) -> bool:
    if _LINK_VALUE.match(value):  # REDIS_PORT=tcp://10.0.0.1:6379
        return True
    return name.endswith("_NAME") and value.startswith("/")  # Docker: REDIS_NAME=/app/redis


def _limit_typos(setting: str) -> int:
    """How many letters may be wrong: of a short name nearly every other is near."""
    return 0 if len(setting) < 6 else 1 if len(setting) < 10 else 2 if len(setting) < 15 else 3


def measure_distance(one: str, other: str, most: int) -> int:
    """How many letters are more, less, other or exchanged with their neighbour; above `most`: many.

    The optimal string alignment distance (https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance).
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
