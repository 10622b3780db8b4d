"""What is wrong and what to do, for each cause. {who} is "Redis at host:port", or only "Redis"."""

from __future__ import annotations

from typing import Final

from tradecast.causes.codes import Code

WORDS: Final[dict[Code, tuple[str, str]]] = {
    Code.REFUSED: (
        "{who} refuses the connection: nothing listens there",
        "Start {service}, or correct host and port in {setting}",
    ),
    Code.UNRESOLVABLE: (
        "{who} cannot be resolved: DNS has no address for that name",
        "Correct the host name in {setting}, or check DNS (in Kubernetes: the Service's name and namespace)",
    ),
    Code.TIMED_OUT: (
        "{who} does not answer in time",
        "Check whether {service} is overloaded or hangs, and whether a firewall or NetworkPolicy drops the connection; "
        "if it is only slow, raise {timeout}",
    ),
    Code.UNREACHABLE: (
        "{who} cannot be reached over the network",
        "Check routes, firewalls and NetworkPolicies between this machine and {service}",
    ),
    Code.CLOSED: (
        "{who} closes the connection",
        "Check the log of {service}, and proxies in between; check whether it requires TLS ({tls_scheme})",
    ),
    Code.NO_SOCKET: (
        "{who}: there is no such socket",
        "Start {service}, or correct the path in {setting}",
    ),
    Code.SOCKET_FORBIDDEN: (
        "{who}: this user may not open the socket",
        "Allow this user to read and write the socket (`unixsocketperm` of Redis)",
    ),
    Code.NOT_SUBSCRIBED: (
        "{who} answers, but this server is not subscribed: it does not receive the events of other servers",
        "Wait a moment; if it lasts, check the log line `subscription lost`",
    ),
    Code.NO_CONNECTION_FREE: (
        "{who}: all connections of this server to it are in use",
        "Check whether {service} is slow; spread the clients over more servers",
    ),
    Code.TLS_CERTIFICATE_EXPIRED: (
        "{who} presents a TLS certificate that has expired",
        "Renew the certificate of {service}, and check this machine's clock",
    ),
    Code.TLS_CERTIFICATE_NOT_YET_VALID: (
        "{who} presents a TLS certificate that is not valid yet",
        "Check this machine's clock; if it is right, replace the certificate of {service}",
    ),
    Code.TLS_UNKNOWN_CA: (
        "{who} presents a TLS certificate of an unknown authority (or a self-signed one)",
        "Set {ca_setting} to the file with the authority's certificate",
    ),
    Code.TLS_WRONG_NAME: (
        "{who} presents a TLS certificate for another name than the one in {setting}",
        "Use a host name that is in the certificate, or issue one for this name",
    ),
    Code.TLS_CERTIFICATE_REFUSED: (
        "{who} presents a TLS certificate that cannot be accepted",
        "Inspect the certificate: `openssl s_client -connect {at}`",
    ),
    Code.TLS_CLIENT_CERTIFICATE: (
        "{who} requires a client certificate, or another one than this client's",
        "{client_certificate}",
    ),
    Code.TLS_EXPECTED: (
        "{who} speaks TLS, but the connection is made without it",
        "Use {tls_scheme}",
    ),
    Code.TLS_UNEXPECTED: (
        "{who} does not speak TLS, but the connection is made over TLS",
        "Use {plain_scheme}, or enable TLS in {service}",
    ),
    Code.TLS_FAILED: (
        "{who}: the TLS handshake fails",
        "Check the log of {service}, and the output of `openssl s_client -connect {at}`",
    ),
    Code.PASSWORD_WANTED: (
        "{who} requires a password, but none is set",
        "Set user and password in {setting}{password_setting}",
    ),
    Code.PASSWORD_WRONG: (
        "{who} rejects the user or the password",
        "Correct user and password in {setting}{password_setting}; check that the user is enabled",
    ),
    Code.PASSWORD_UNEXPECTED: (
        "{who} has no password, but one is set here",
        "Remove the password from {setting}{password_setting}, or set one in {service}",
    ),
    Code.NO_PERMISSION: (
        "{who} does not permit this user {detail}",
        "{grant}",
    ),
    Code.IS_CLUSTER: (
        "{who} is a node of a Redis Cluster, but the URL is that of a single Redis",
        "Use redis+cluster:// in {setting} (rediss+cluster:// with TLS)",
    ),
    Code.IS_NO_CLUSTER: (
        "{who} is not a Redis Cluster, but the URL is that of one",
        "Use redis:// in {setting} (rediss:// with TLS), or set `cluster-enabled yes`",
    ),
    Code.CLUSTER_DOWN: (
        "{who}: the Redis Cluster does not serve all of its slots",
        "Check `redis-cli CLUSTER INFO` and `CLUSTER NODES`: bring the missing masters back, or assign their slots",
    ),
    Code.IS_SENTINEL: (
        "{who} is a Sentinel, but the URL is that of a Redis",
        "Use redis+sentinel://host:port/0/SERVICE in {setting}",
    ),
    Code.IS_NO_SENTINEL: (
        "{who} is not a Sentinel, but the URL is that of one",
        "Use redis:// in {setting}, or the Sentinels' hosts and port (26379)",
    ),
    Code.NO_MASTER: (
        "{who}: no Sentinel knows a master of that name that is up",
        "Correct the service's name at the end of {setting}; check `redis-cli -p 26379 SENTINEL masters`",
    ),
    Code.LOADING: (
        "{who} is loading its data and does not answer yet",
        "Wait; `redis-cli INFO persistence` shows the progress",
    ),
    Code.READ_ONLY: (
        "{who} is a replica and accepts no writes",
        "Use the master in {setting}, or let Sentinels find it (redis+sentinel://)",
    ),
    Code.MASTER_AWAY: (
        "{who} is a replica that has lost its master",
        "Bring the master back, or promote the replica (`REPLICAOF NO ONE`)",
    ),
    Code.TOO_FEW_REPLICAS: (
        "{who} accepts no writes: it has too few replicas",
        "Bring the replicas back, or lower `min-replicas-to-write`",
    ),
    Code.DISK_TROUBLE: (
        "{who} accepts no writes: it cannot save its data to disk",
        "Free disk space for {service}; its log has the details",
    ),
    Code.BUSY: (
        "{who} is busy with a script or a function",
        "Wait, or kill it: `redis-cli SCRIPT KILL`",
    ),
    Code.TOO_MANY_CLIENTS: (
        "{who} has reached its maximum number of clients",
        "Raise `maxclients` of {service} (and its limit on open files), or disconnect clients: `CLIENT LIST`",
    ),
    Code.OUT_OF_MEMORY: (
        "{who} accepts no writes: its memory is full",
        "Give {service} more memory (`maxmemory`), or free some",
    ),
    Code.NO_DATABASE: (
        "{who} does not have the database that {setting} names",
        "Correct the number at the end of {setting} (0 always exists), or raise `databases` of Redis",
    ),
    Code.PROTECTED: (
        "{who} is in protected mode and accepts connections from its own machine only",
        "Set a password in Redis, or `bind` and `protected-mode no` in a closed network",
    ),
    Code.UNKNOWN_COMMAND: (
        "{who} does not know a required command{detail}",
        "Use Redis 6.2 or newer (7.0 for a Redis Cluster), without renamed commands",
    ),
    Code.SPEAKS_HTTP: (
        "{who} is not {service}: it answers in HTTP",
        "Correct host and port in {setting}",
    ),
    Code.OTHER_SERVICE: (
        "{who} is not {service}: {detail} answers there",
        "Correct host and port in {setting}",
    ),
    Code.NO_PRIMARY: (
        "{who}: the replica set has no primary at the moment",
        "Check `rs.status()`: bring a majority of the members back, or wait for the election",
    ),
    Code.OTHER_REPLICA_SET: (
        "{who} belongs to another replica set than the one in {setting}, or to none",
        "Correct `replicaSet` in {setting}, or remove it",
    ),
    Code.UNSUPPORTED_VERSION: (
        "{who} has a version that the driver does not support",
        "Use MongoDB 4.2 or newer",
    ),
    Code.ERROR: (
        "{who} answers with an error{detail}",
        "Check the log of {service}",
    ),
}
