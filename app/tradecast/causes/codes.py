"""The causes, each in one word."""

from __future__ import annotations

from enum import StrEnum


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
