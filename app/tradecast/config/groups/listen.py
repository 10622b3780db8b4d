"""What is listened on, and how long a connection may take."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tradecast.config.addresses import EVERYWHERE, AdvertisedHost, Host
from tradecast.config.groups.base import Group
from tradecast.config.origins import parse_allowed
from tradecast.config.socket_path import SocketPath
from tradecast.config.types import (
    Port,
    ReadableFile,
    Seconds,
    split_list,
)


def check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """Origins each of which a browser may send, or `*` alone."""
    if "*" in origins and len(origins) > 1:
        raise ValueError("`*` cannot be combined with other origins")
    for number, origin in enumerate(origins, 1):
        try:
            if origin != "*":
                parse_allowed(origin)
        except ValueError as error:
            raise ValueError(f"entry {number} can never match: {error}") from None
    return origins


Origins = Annotated[tuple[str, ...], BeforeValidator(split_list), AfterValidator(check_origins)]


class ListenSettings(Group):
    """Ports, TLS, paths, and the bounds of connections."""

    host: Host = Field(
        EVERYWHERE,
        description="Address or name that the public port listens on; `*` (or `::`): every IPv4 and IPv6 address "
        "of the machine; `0.0.0.0`: every IPv4 address",
    )
    port: Port = Field(8000, description="Public port: Socket.IO, health, and what the settings allow")
    admin_host: Host = Field(EVERYWHERE, description="The same for the admin port")
    admin_port: Port = Field(
        9100, description="Admin port: metrics, emit, stats, sessions; never behind the public Service"
    )
    internal_host: Host = Field(EVERYWHERE, description="The same for the internal port")
    internal_port: Port = Field(
        9200,
        description="Internal port: requests that servers relay to each other, so that polling needs no session "
        "affinity; served where REDIS_URL is set and TRANSPORTS is empty or includes polling; never "
        "behind a Service. If neither this nor TRANSPORTS is set and the port is taken, the server "
        "uses another one and announces it to the other servers",
    )
    advertised_address: AdvertisedHost = Field(
        None,
        description="Address or name, without a port, at which the other servers reach the internal port "
        "(Kubernetes: the pod's IP); absent: INTERNAL_HOST, or if that is a wildcard, the address used "
        "towards Redis",
    )
    internal_cert_file: ReadableFile = Field(
        None,
        description="PEM certificate chain for the internal port, which then uses TLS; the same for all servers, "
        "for INTERNAL_SERVER_NAME ([security.md](security.md#between-servers)). The three files are "
        "reloaded when they change",
    )
    internal_key_file: ReadableFile = Field(None, description="PEM private key of INTERNAL_CERT_FILE")
    internal_ca_file: ReadableFile = Field(
        None, description="PEM bundle of the authority that signs the servers' INTERNAL_CERT_FILE"
    )
    internal_server_name: str = Field(
        "tradecast-internal",
        pattern=r"^[0-9A-Za-z](?:[0-9A-Za-z.-]{0,251}[0-9A-Za-z])?$",
        description="Name in the certificate of every server's internal port, whatever its address",
    )
    internal_require_tls: bool = Field(
        False,
        description="Allow no traffic between servers without TLS; if false, servers that do not have TLS (yet) "
        "can be reached, and can connect, without it",
    )
    ssl_certfile: ReadableFile = Field(
        None,
        description="PEM certificate chain for the public port. It and its key are reloaded when they change",
    )
    ssl_keyfile: ReadableFile = Field(None, description="PEM private key for the public port")
    require_tls: bool = Field(
        False,
        description="Refuse requests that did not arrive over TLS, according to X-Forwarded-Proto (health stays open)",
    )
    socket_path: SocketPath = Field(
        "/socket.io/",
        description="Path of Socket.IO on the public port, with or without slashes around it: the `path` option of "
        "clients, unless a proxy strips a prefix ([client.md](client.md#another-path))",
    )
    cors_origin: Origins = Field(
        (),
        description="Origins whose pages may connect, comma-separated, of any scheme: `https://example.com`, "
        "`https://*.example.com` (one label), `capacitor://localhost`, `file://`, `null`; `*` for any; "
        "empty for the server's own origin only ([security.md](security.md#pages-of-other-sites))",
    )
    shutdown_timeout: Seconds = Field(10, description="Seconds that connections and requests get to finish at shutdown")
    max_tcp_connections: int | None = Field(
        None,
        ge=1,
        description="TCP connections of the public port, WebSockets included, and the same for the internal one; "
        "beyond, idle ones are closed, or else the new one; absent: twice MAX_CONNECTIONS plus 256. "
        "Fewer where the limit on open files (RLIMIT_NOFILE) is too low",
    )
    keep_alive: Seconds = Field(
        75,
        description="Seconds that a connection of the public port may be idle between requests: longer than a load "
        "balancer in front keeps it (AWS: 60, nginx: 60), which otherwise answers 502. Behind Traefik "
        "(90) 95, behind Google's (600) 620",
    )
    head_timeout: Seconds = Field(
        20,
        description="Seconds that a client may take to send the head of a request; a quarter of that while half of "
        "MAX_TCP_CONNECTIONS are in use",
    )
    body_timeout: Seconds = Field(
        30, description="Seconds that a client may take to send a body, plus one for every 500 bytes of it"
    )
    tls_timeout: Seconds = Field(
        10, description="Seconds that a TLS handshake may take, on the public and on the internal port"
    )

    strict_settings: bool = Field(
        False,
        description="Abort startup if a variable looks like a setting but is not one (`API_TOKENS`, `REDIS_HOST`, "
        "`REDIS_PASSWORD_FILE`); if false, the log warns of it",
    )

    @property
    def internal_files(self) -> tuple[str | None, str | None, str | None]:
        """INTERNAL_CERT_FILE, INTERNAL_KEY_FILE and INTERNAL_CA_FILE."""
        return self.internal_cert_file, self.internal_key_file, self.internal_ca_file
