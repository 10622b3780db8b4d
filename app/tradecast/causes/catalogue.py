"""What is wrong and what to do, for each cause. {who} is "Redis at host:port", or only "Redis"."""

from __future__ import annotations

from typing import Final

from tradecast.causes.codes import Code

WORDS: Final[dict[Code, tuple[str, str]]] = {
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
