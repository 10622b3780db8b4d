"""What is wrong with Redis, MongoDB or a server that we ask, and what to do about it, in one set of words. Pure.

Logs, health, metrics, the command line and `tradecast check` all say it with these. No text of a driver is passed on:
it may hold credentials. Errors are told apart by the names of their classes and by their texts, so no driver is needed.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

REDIS: Final = "Redis"
MONGODB: Final = "MongoDB"
SERVER: Final = "tradecast"
Service = Literal["Redis", "MongoDB", "tradecast"]
Setting = Literal["REDIS_URL", "REDIS_CLUSTER_URL", "MONGODB_URI", "--url", "--admin-url"]
Kind = Literal["single", "cluster", "sentinel"]


class Code(StrEnum):
    """What is wrong, in one word: `cause` in logs, health bodies and metrics."""

    REFUSED = "refused"
    UNRESOLVABLE = "unresolvable"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    CLOSED = "closed"
    NO_SOCKET = "no_socket"
    SOCKET_FORBIDDEN = "socket_forbidden"
    NOT_SUBSCRIBED = "not_subscribed"
    NO_CONNECTION_FREE = "no_connection_free"
    TLS_CERTIFICATE_EXPIRED = "tls_certificate_expired"
    TLS_CERTIFICATE_NOT_YET_VALID = "tls_certificate_not_yet_valid"
    TLS_UNKNOWN_CA = "tls_unknown_ca"
    TLS_WRONG_NAME = "tls_wrong_name"
    TLS_CERTIFICATE_REFUSED = "tls_certificate_refused"
    TLS_CLIENT_CERTIFICATE = "tls_client_certificate"
    TLS_EXPECTED = "tls_expected"
    TLS_UNEXPECTED = "tls_unexpected"
    TLS_FAILED = "tls_failed"
    PASSWORD_WANTED = "password_wanted"  # noqa: S105 no password
    PASSWORD_WRONG = "password_wrong"  # noqa: S105 as above
    PASSWORD_UNEXPECTED = "password_unexpected"  # noqa: S105 as above
    NO_PERMISSION = "no_permission"
    IS_CLUSTER = "is_cluster"
    IS_NO_CLUSTER = "is_no_cluster"
    CLUSTER_DOWN = "cluster_down"
    IS_SENTINEL = "is_sentinel"
    IS_NO_SENTINEL = "is_no_sentinel"
    NO_MASTER = "no_master"
    LOADING = "loading"
    READ_ONLY = "read_only"
    MASTER_AWAY = "master_away"
    TOO_FEW_REPLICAS = "too_few_replicas"
    DISK_TROUBLE = "disk_trouble"
    BUSY = "busy"
    TOO_MANY_CLIENTS = "too_many_clients"
    OUT_OF_MEMORY = "out_of_memory"
    NO_DATABASE = "no_database"
    PROTECTED = "protected"
    UNKNOWN_COMMAND = "unknown_command"
    SPEAKS_HTTP = "speaks_http"
    OTHER_SERVICE = "other_service"
    NO_PRIMARY = "no_primary"
    OTHER_REPLICA_SET = "other_replica_set"
    UNSUPPORTED_VERSION = "unsupported_version"
    ERROR = "error"


class Told(str):
    """Words of our own: they may name an address, a dependency's or a listed one, which other texts in logs may not."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked, and where.

    Attributes:
        service: What should be there.
        at: `host:port`, several with commas between, or the path of a socket; never credentials.
        setting: Which setting, or option of the command line, says so.
        tls: Whether it is asked over TLS.
        certified: Whether a client certificate is shown.
        authenticated: Whether a password is sent.
        kind: Of a Redis, what the URL says that it is.
    """

    service: Service
    at: str = ""
    setting: Setting = "REDIS_URL"
    tls: bool = False
    certified: bool = False
    authenticated: bool = False
    kind: Kind = "single"


SOME_REDIS: Final = Place(REDIS)
Peer = Literal["redis", "full redis", "mongodb", "http", "tls", "silent"]
"""What answers at an address, as `probe_peer` found."""


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
    def sentence(self) -> Told:
        """What is wrong, with the address."""
        return Told(self._sentence(f"{self.place.service} at {self.place.at}" if self.place.at else self.place.service))

    @property
    def is_silence(self) -> bool:
        """Whether nothing answered, rather than something else than is needed."""
        return self.code in _SILENCE

    @property
    def without_address(self) -> Told:
        """What is wrong, for those who need not know where things are."""
        return Told(self._sentence(self.place.service))

    @property
    def remedy(self) -> Told:
        """What to do."""
        return Told(_fill(_WORDS[self.code][1], self, self.place.service))

    def _sentence(self, who: str) -> str:
        words = _fill(_WORDS[self.code][0], self, who)
        return f"{self.share}: {words}" if self.share else words

    def fields(self) -> dict[str, str]:
        """Fields of a log line."""
        return {"cause": str(self.code), "why": self.sentence, "remedy": self.remedy}


# What is wrong, and what to do. {who} is "Redis at host:port".
_WORDS: Final[dict[Code, tuple[str, str]]] = {
    Code.REFUSED: (
        "{who} refuses the connection: nothing listens there",
        "Start {service}, or put host and port in {setting} right",
    ),
    Code.UNRESOLVABLE: (
        "{who} cannot be looked up: no DNS server knows an address for that name",
        "Put the host name in {setting} right, or look at DNS (in Kubernetes: the Service's name and namespace)",
    ),
    Code.TIMED_OUT: (
        "{who} does not answer in time",
        "See whether {service} is overloaded or hangs, and whether a firewall or NetworkPolicy drops the connection; "
        "if it is only slow, raise {timeout}",
    ),
    Code.UNREACHABLE: (
        "{who} cannot be reached over the network",
        "Look at routes, firewalls and NetworkPolicies between this machine and {service}",
    ),
    Code.CLOSED: (
        "{who} closes the connection",
        "Look at the log of {service}, and at proxies in between; see whether it wants TLS ({tls_scheme})",
    ),
    Code.NO_SOCKET: (
        "{who}: there is no such socket",
        "Start {service}, or put the path in {setting} right",
    ),
    Code.SOCKET_FORBIDDEN: (
        "{who}: this user may not open the socket",
        "Let this user read and write the socket (`unixsocketperm` of Redis)",
    ),
    Code.NOT_SUBSCRIBED: (
        "{who} answers, but the subscription does not stand: events of other servers are missed",
        "Wait a moment; if it lasts, look at the log line `subscription lost`",
    ),
    Code.NO_CONNECTION_FREE: (
        "{who}: all connections of this server to it are in use",
        "See whether {service} is slow; spread the clients over more servers",
    ),
    Code.TLS_CERTIFICATE_EXPIRED: (
        "{who} shows a TLS certificate that has expired",
        "Renew the certificate of {service}, and see whether this machine's clock is right",
    ),
    Code.TLS_CERTIFICATE_NOT_YET_VALID: (
        "{who} shows a TLS certificate that is not valid yet",
        "See whether this machine's clock is right; else replace the certificate of {service}",
    ),
    Code.TLS_UNKNOWN_CA: (
        "{who} shows a TLS certificate of an authority that is not known here (or one that it signed itself)",
        "Name the file with the authority's certificate in {ca_setting}",
    ),
    Code.TLS_WRONG_NAME: (
        "{who} shows a TLS certificate for another name than the one in {setting}",
        "Use a host name that the certificate has, or make one that has this name",
    ),
    Code.TLS_CERTIFICATE_REFUSED: (
        "{who} shows a TLS certificate that cannot be accepted",
        "Look at the certificate: `openssl s_client -connect {at}`",
    ),
    Code.TLS_CLIENT_CERTIFICATE: (
        "{who} wants a client certificate, or another one than it is shown",
        "{client_certificate}",
    ),
    Code.TLS_EXPECTED: (
        "{who} speaks TLS, and is asked without",
        "Use {tls_scheme}",
    ),
    Code.TLS_UNEXPECTED: (
        "{who} does not speak TLS, and is asked over TLS",
        "Use {plain_scheme}, or switch TLS on in {service}",
    ),
    Code.TLS_FAILED: (
        "{who}: the TLS handshake fails",
        "Look at the log of {service}, and at `openssl s_client -connect {at}`",
    ),
    Code.PASSWORD_WANTED: (
        "{who} wants a password, and none is given",
        "Give user and password in {setting}{password_setting}",
    ),
    Code.PASSWORD_WRONG: (
        "{who} does not accept the user or the password",
        "Put user and password in {setting}{password_setting} right; see whether that user is switched on",
    ),
    Code.PASSWORD_UNEXPECTED: (
        "{who} has no password, and is given one",
        "Take the password out of {setting}{password_setting}, or set one in {service}",
    ),
    Code.NO_PERMISSION: (
        "{who} does not permit this user {detail}",
        "{grant}",
    ),
    Code.IS_CLUSTER: (
        "{who} is a node of a Redis Cluster, and is asked as a single Redis",
        "Use redis+cluster:// in {setting} (rediss+cluster:// with TLS)",
    ),
    Code.IS_NO_CLUSTER: (
        "{who} is no Redis Cluster, and is asked as one",
        "Use redis:// in {setting} (rediss:// with TLS), or switch `cluster-enabled` on",
    ),
    Code.CLUSTER_DOWN: (
        "{who}: the Redis Cluster does not serve all of its slots",
        "Look at `redis-cli CLUSTER INFO` and `CLUSTER NODES`: bring the missing masters back, or assign their slots",
    ),
    Code.IS_SENTINEL: (
        "{who} is a Sentinel, and is asked as a Redis",
        "Use redis+sentinel://host:port/0/SERVICE in {setting}",
    ),
    Code.IS_NO_SENTINEL: (
        "{who} is no Sentinel, and is asked as one",
        "Use redis:// in {setting}, or name the Sentinels' hosts and port (26379)",
    ),
    Code.NO_MASTER: (
        "{who}: no Sentinel knows a master of that name that answers",
        "Put the service's name at the end of {setting} right; look at `redis-cli -p 26379 SENTINEL masters`",
    ),
    Code.LOADING: (
        "{who} is loading its data and does not answer yet",
        "Wait; `redis-cli INFO persistence` says how far it is",
    ),
    Code.READ_ONLY: (
        "{who} is a replica and takes no writes",
        "Name the master in {setting}, or let Sentinels find it (redis+sentinel://)",
    ),
    Code.MASTER_AWAY: (
        "{who} is a replica that has lost its master",
        "Bring the master back, or promote the replica (`REPLICAOF NO ONE`)",
    ),
    Code.TOO_FEW_REPLICAS: (
        "{who} takes no writes: it has fewer replicas than it should",
        "Bring the replicas back, or lower `min-replicas-to-write`",
    ),
    Code.DISK_TROUBLE: (
        "{who} takes no writes: it cannot save its data to disk",
        "Free the disk of {service}; its log says more",
    ),
    Code.BUSY: (
        "{who} is busy with a script or a function",
        "Wait, or end it: `redis-cli SCRIPT KILL`",
    ),
    Code.TOO_MANY_CLIENTS: (
        "{who} has as many clients as it takes",
        "Raise `maxclients` of {service} (and its limit of open files), or close what is connected: `CLIENT LIST`",
    ),
    Code.OUT_OF_MEMORY: (
        "{who} takes no writes: its memory is full",
        "Give {service} more memory (`maxmemory`), or free some",
    ),
    Code.NO_DATABASE: (
        "{who} does not have the database that {setting} names",
        "Put the number at the end of {setting} right (0 is always there), or raise `databases` of Redis",
    ),
    Code.PROTECTED: (
        "{who} is in protected mode and talks to its own machine only",
        "Set a password in Redis, or `bind` and `protected-mode no` in a network that is closed",
    ),
    Code.UNKNOWN_COMMAND: (
        "{who} does not know a command that is needed{detail}",
        "Use Redis 6.2 or newer (7.0 for a Redis Cluster), without renamed commands",
    ),
    Code.SPEAKS_HTTP: (
        "{who} is no {service}: it answers in HTTP",
        "Put host and port in {setting} right",
    ),
    Code.OTHER_SERVICE: (
        "{who} is no {service}: {detail} answers there",
        "Put host and port in {setting} right",
    ),
    Code.NO_PRIMARY: (
        "{who}: the replica set has no primary now",
        "Look at `rs.status()`: bring a majority of the members back, or wait for the election",
    ),
    Code.OTHER_REPLICA_SET: (
        "{who} belongs to another replica set than the one in {setting}, or to none",
        "Put `replicaSet` in {setting} right, or leave it out",
    ),
    Code.UNSUPPORTED_VERSION: (
        "{who} is of a version that the driver does not speak with",
        "Use MongoDB 4.2 or newer",
    ),
    Code.ERROR: (
        "{who} answers with an error{detail}",
        "Look at the log of {service}",
    ),
}


def _fill(template: str, cause: Cause, who: str) -> str:
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
        timeout={REDIS: "REDIS_TIMEOUT", MONGODB: "MONGODB_TIMEOUT", SERVER: "the time it has"}[place.service],
        ca_setting={REDIS: "REDIS_CA_FILE", MONGODB: "MONGODB_CA_FILE", SERVER: "SSL_CERT_FILE"}[place.service],
        tls_scheme=f"{schemes[0]} in {place.setting}",
        plain_scheme=f"{schemes[1]} in {place.setting}",
        password_setting=", or REDIS_USERNAME and REDIS_PASSWORD"
        + (" (for the Sentinels: REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD)" if sentinel else "")
        if redis
        else "",
        client_certificate="Name certificate and key in REDIS_CERT_FILE and REDIS_KEY_FILE, signed by an authority "
        "that Redis knows (or set `tls-auth-clients no`)"
        if redis
        else "Name the certificate and key in MONGODB_URI (`tlsCertificateKeyFile`)",
        grant="Grant it to the user: `ACL SETUSER`, docs/check.md has the whole list"
        if redis
        else "Give the user the role readWrite on the database (`db.grantRolesToUser`)",
    )


_SUFFIXES: Final[dict[Kind, str]] = {"single": "://", "cluster": "+cluster://", "sentinel": "+sentinel://"}


class Failed(ConnectionError):
    """Something of our own found out what is wrong.

    Attributes:
        code: That.
    """

    def __init__(self, code: Code) -> None:
        super().__init__(str(code))
        self.code = code


def explain(error: BaseException, place: Place) -> Cause:
    """What an error means.

    Args:
        error: Of a driver, of Python, or one around such.
        place: What was asked.
    """
    chain = list(_chain(error))
    known = next((found for one in chain if isinstance(found := getattr(one, "cause", None), Cause)), None)
    if known is not None:
        return known
    place = next((found for one in chain if isinstance(found := getattr(one, "place", None), Place)), place)
    texts = "\n".join(str(one) for one in chain)
    code, detail = _recognize(chain, texts, place)
    if "," in place.at or place.kind != "single":
        place = replace(place, at=_node(texts) or place.at)
    share = next((str(words) for one in chain if (words := getattr(one, "in_words", None))), "")
    return Cause(code, place, detail, share)


_SILENCE: Final = (Code.REFUSED, Code.UNRESOLVABLE, Code.TIMED_OUT, Code.UNREACHABLE, Code.CLOSED, Code.NO_SOCKET)


def is_ambiguous(cause: Cause) -> bool:
    """Whether a look at what answers there (`refine`) may tell more."""
    return cause.code in _AMBIGUOUS


_AMBIGUOUS: Final = (Code.TIMED_OUT, Code.CLOSED, Code.TLS_FAILED, Code.TLS_UNEXPECTED, Code.UNREACHABLE)
_NAMES: Final[dict[Peer, str]] = {"redis": REDIS, "full redis": REDIS, "mongodb": MONGODB}


def refine(cause: Cause, peer: Peer) -> Cause:
    """The same, knowing what answers there."""
    place = cause.place
    if peer == "tls":
        if not place.tls:
            return replace(cause, code=Code.TLS_EXPECTED)
        if cause.code == Code.CLOSED and not place.certified:
            return replace(cause, code=Code.TLS_CLIENT_CERTIFICATE)
        return cause
    if peer == "http" and place.service == SERVER:
        return replace(cause, code=Code.TLS_UNEXPECTED) if place.tls else cause
    if peer == "http":
        return replace(cause, code=Code.SPEAKS_HTTP)
    if peer == "full redis" and place.service == REDIS:
        return replace(cause, code=Code.TOO_MANY_CLIENTS)
    if peer in _NAMES:
        if _NAMES[peer] != place.service:
            return replace(cause, code=Code.OTHER_SERVICE, detail=_NAMES[peer])
        if place.tls:
            return replace(cause, code=Code.TLS_UNEXPECTED)
        if cause.code == Code.UNREACHABLE:  # it answers, and had closed the connection that the driver lost
            return replace(cause, code=Code.CLOSED)
    return cause


def _recognize(chain: Sequence[BaseException], texts: str, place: Place) -> tuple[Code, str]:
    ours = next((one.code for one in chain if isinstance(one, Failed) and one.code != Code.NOT_SUBSCRIBED), None)
    if ours is not None:
        return ours, ""
    for pattern, code in _TLS:
        if pattern.search(texts):
            return code, ""
    if any(isinstance(one, socket.gaierror) for one in chain) or _LOOK_UP.search(texts):
        return Code.UNRESOLVABLE, ""
    answered = _of_redis(chain, texts, place) if place.service == REDIS else _of_mongodb(chain, texts)
    if answered is not None:
        return answered
    if any(isinstance(one, ConnectionRefusedError) for one in chain):
        return Code.REFUSED, ""
    for codes, pattern, code in _NETWORK:
        # the number of an SSLError is OpenSSL's, and no errno
        system = (one for one in chain if isinstance(one, OSError) and not isinstance(one, ssl.SSLError))
        if any(one.errno in codes for one in system) or pattern.search(texts):
            return code, ""
    if any(_is(one, *_TIMED_OUT) for one in chain):
        return Code.TIMED_OUT, ""
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return Code.TLS_FAILED, ""
    if any(_is(one, *_CLOSED) for one in chain) or _CLOSED_TEXT.search(texts):
        return Code.CLOSED, ""
    if _TIMED_OUT_TEXT.search(texts):
        return Code.TIMED_OUT, ""
    if any(isinstance(one, Failed) for one in chain):
        return Code.NOT_SUBSCRIBED, ""
    if any(_is(one, *_LOST) for one in chain):
        return Code.UNREACHABLE, ""
    return Code.ERROR, ""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


# OpenSSL's words: the drivers pass them on in their own texts.
_TLS: Final = tuple(
    (_pattern(text), code)
    for text, code in (
        (r"verify failed: certificate has expired", Code.TLS_CERTIFICATE_EXPIRED),
        (r"verify failed: certificate is not yet valid", Code.TLS_CERTIFICATE_NOT_YET_VALID),
        (r"verify failed: (host ?name|ip address) mismatch|doesn't match", Code.TLS_WRONG_NAME),
        (r"verify failed: (self[- ]signed|unable to (get|verify))", Code.TLS_UNKNOWN_CA),
        (r"certificate verify failed", Code.TLS_CERTIFICATE_REFUSED),
        (r"wrong[_ ]version[_ ]number|unknown[_ ]protocol|packet length too long", Code.TLS_UNEXPECTED),
        (r"alert[_ ](certificate[_ ]required|bad[_ ]certificate|unknown[_ ]ca)", Code.TLS_CLIENT_CERTIFICATE),
    )
)
_LOOK_UP: Final = _pattern(
    r"name or service not known|temporary failure in name resolution|nodename nor servname|no address associated"
    r"|name does not resolve|dns (query|operation|response)|getaddrinfo failed"
)
_REFUSED_CODES: Final = (errno.ECONNREFUSED,)
_AWAY_CODES: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)
_NETWORK: Final[Sequence[tuple[tuple[int, ...], re.Pattern[str], Code]]] = (
    ((errno.ENOENT,), _pattern(r"no such file or directory"), Code.NO_SOCKET),
    ((errno.EACCES, errno.EPERM), _pattern(r"\] permission denied"), Code.SOCKET_FORBIDDEN),
    (_REFUSED_CODES, _pattern(r"connection refused|errno 111|connect call failed"), Code.REFUSED),
    (_AWAY_CODES, _pattern(r"no route to host|network is unreachable"), Code.UNREACHABLE),
)
_TIMED_OUT: Final = (
    *("TimeoutError", "ExecutionTimeout", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"),
    "NetworkTimeout",
)
_TIMED_OUT_TEXT: Final = _pattern(r"timed out|timeout (reading|connecting)|answer in time")
_CLOSED: Final = ("ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError", "IncompleteReadError")
_CLOSED_TEXT: Final = _pattern(
    r"connection (was )?(closed|lost)|connection reset|broken pipe|eof occurred|server disconnected"
)
_LOST: Final = ("ConnectionError", "ConnectionFailure", "OSError", "StoreUnavailable", "TransportError")

# Classes of redis-py, and the words of Redis where it has none (in a script, an error has no class of its own).
_REDIS: Final[Sequence[tuple[tuple[str, ...], re.Pattern[str] | None, Code]]] = (
    ((), _pattern(r"max number of clients"), Code.TOO_MANY_CLIENTS),
    ((), _pattern(r"authentication required|\bNOAUTH\b"), Code.PASSWORD_WANTED),
    ((), _pattern(r"without any password configured|no password is set"), Code.PASSWORD_UNEXPECTED),
    (
        ("NoPermissionError",),
        _pattern(r"has no permissions|executing the script can't|\bNOPERM\b|can't publish to the channel"),
        Code.NO_PERMISSION,
    ),
    (("AuthenticationError", "AuthorizationError"), _pattern(r"\bWRONGPASS\b|invalid password"), Code.PASSWORD_WRONG),
    ((), _pattern(r"cluster support disabled|cluster mode is not enabled"), Code.IS_NO_CLUSTER),
    ((), _pattern(r"not allowed in cluster mode"), Code.IS_CLUSTER),
    (("MasterDownError",), _pattern(r"\bMASTERDOWN\b"), Code.MASTER_AWAY),  # is a ClusterDownError
    (
        ("ClusterDownError", "SlotNotCoveredError"),
        _pattern(r"\bCLUSTERDOWN\b|has the slot|serves the slot|slot not served|slots? (are|is) not covered"),
        Code.CLUSTER_DOWN,
    ),
    ((), _pattern(r"unknown command .?sentinel"), Code.IS_NO_SENTINEL),
    (("MasterNotFoundError", "SlaveNotFoundError"), _pattern(r"no master found"), Code.NO_MASTER),
    (("BusyLoadingError",), _pattern(r"\bLOADING\b"), Code.LOADING),
    (("ReadOnlyError",), _pattern(r"\bREADONLY\b|read only replica"), Code.READ_ONLY),
    (("OutOfMemoryError",), _pattern(r"used memory > 'maxmemory'"), Code.OUT_OF_MEMORY),
    ((), re.compile(r"\bMISCONF\b"), Code.DISK_TROUBLE),
    ((), re.compile(r"\bNOREPLICAS\b"), Code.TOO_FEW_REPLICAS),
    ((), re.compile(r"\bDENIED\b|protected mode"), Code.PROTECTED),
    ((), re.compile(r"^BUSY\b", re.MULTILINE), Code.BUSY),
    ((), re.compile(r"\bDB index\b|\bSELECT\b"), Code.NO_DATABASE),
    ((), _pattern(r"no connection available|too many connections"), Code.NO_CONNECTION_FREE),
)
_COMMAND: Final = re.compile(r"'([A-Za-z|]{1,40})' command")
_UNKNOWN: Final = re.compile(r"unknown (?:sub)?command.{0,4}?'?([A-Za-z]{2,20})\b")
_HTTP: Final = re.compile(r"""got "[H<]" as reply type""")


def _of_redis(chain: Sequence[BaseException], texts: str, place: Place) -> tuple[Code, str] | None:
    if place.kind != "cluster" and any(_is(one, "AskError", "MovedError", "ClusterCrossSlotError") for one in chain):
        return Code.IS_CLUSTER, ""
    for names, pattern, code in _REDIS:
        if any(_is(one, *names) for one in chain) or (pattern is not None and pattern.search(texts)):
            if code == Code.PASSWORD_WRONG and not place.authenticated:
                code = Code.PASSWORD_WANTED
            return code, _forbidden(texts) if code == Code.NO_PERMISSION else ""
    if any(_is(one, "InvalidResponse") for one in chain) or "Protocol error" in texts:
        return (Code.SPEAKS_HTTP, "") if _HTTP.search(texts) else (Code.OTHER_SERVICE, "something else")
    if (found := _UNKNOWN.search(texts)) is not None:
        return Code.UNKNOWN_COMMAND, f" ({found[1].upper()})"
    return None


def _forbidden(texts: str) -> str:
    if (command := _COMMAND.search(texts)) is not None:
        return f"the command {command[1].upper().replace('|', ' ')}"
    if "channel" in texts:
        return "a channel that is needed"
    if "key" in texts:
        return "a key that is needed"
    return "a command that is needed"


_ELECTING: Final = (91, 189, 10107, 11600, 11602, 13435, 13436)
_REPLICA_SET: Final = _pattern(r"replica set (named|name)|not a member of|setname")
_PRIMARY: Final = _pattern(r"no primary|no replica set members|not (primary|master)|notwritableprimary")
_ACTION: Final = _pattern(r"\(action: ([a-z]{1,30})\)|to execute command \{ ([a-z]{1,30}):")


def _of_mongodb(chain: Sequence[BaseException], texts: str) -> tuple[Code, str] | None:
    codes = {getattr(one, "code", None) for one in chain if _is(one, "OperationFailure")}
    if codes & {18, 8000} or "authentication failed" in texts.lower():
        return Code.PASSWORD_WRONG, ""
    if 13 in codes:
        if "requires authentication" in texts:
            return Code.PASSWORD_WANTED, ""
        action = _ACTION.search(texts)
        return Code.NO_PERMISSION, f"the command {action[1] or action[2]}" if action else "a command that is needed"
    if "wire version" in texts or 352 in codes:
        return Code.UNSUPPORTED_VERSION, ""
    if _REPLICA_SET.search(texts):
        return Code.OTHER_REPLICA_SET, ""
    if _NETWORK[2][1].search(texts) or any(isinstance(one, ConnectionRefusedError) for one in chain):
        return Code.REFUSED, ""  # of members that are down, rather than what follows from that
    if codes & set(_ELECTING) or (_PRIMARY.search(texts) and not _TIMED_OUT_MEMBER.search(texts)):
        return Code.NO_PRIMARY, ""
    if any(_is(one, "ProtocolError", "InvalidBSON") for one in chain):
        return Code.OTHER_SERVICE, "something else"
    return None


_TIMED_OUT_MEMBER: Final = _pattern(r":\d+: timed out")
_HOST_AND_PORT: Final = r"((?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,253}):\d{1,5})"
_NODE: Final = re.compile(rf"(?:connecting to |reading from |writing to |^|failed: ){_HOST_AND_PORT}(?=[.: ,]|$)", re.M)


def _node(texts: str) -> str:
    """The node that a driver's text names; "": none."""
    found = _NODE.search(texts)
    return found[1] if found else ""


def _is(error: BaseException, *names: str) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
