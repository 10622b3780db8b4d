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
        raise ValueError("`*` stands alone")
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
        description="Address or name that the public port listens on; `*` (or `::`): every address, IPv4's and IPv6's, "
        "as far as the machine has them; `0.0.0.0`: IPv4's alone",
    )
    port: Port = Field(8000, description="Public port: Socket.IO, health, and what the settings allow")
    admin_host: Host = Field(EVERYWHERE, description="The same for the admin port")
    admin_port: Port = Field(
        9100, description="Admin port: metrics, emit, stats, sessions; never behind the public Service"
    )
    internal_host: Host = Field(EVERYWHERE, description="The same for the internal port")
    internal_port: Port = Field(
        9200,
        description="Internal port: what other servers pass on, so that polling needs no session affinity; served "
        "where REDIS_URL is set and TRANSPORTS is empty or has polling; never behind a Service. Where neither this nor "
        "TRANSPORTS is set and the port is taken, another one is used, which the other servers are told",
    )
    advertised_address: AdvertisedHost = Field(
        None,
        description="Address or name, without a port, at which the other servers reach the internal port (Kubernetes: "
        "the pod's IP); absent: INTERNAL_HOST, or if that is any address, the one towards Redis",
    )
    internal_cert_file: ReadableFile = Field(
        None,
        description="PEM certificate chain for the internal port, which then speaks TLS; of all servers for "
        "INTERNAL_SERVER_NAME ([security.md](security.md#between-servers)). The three files are read anew on change",
    )
    internal_key_file: ReadableFile = Field(None, description="PEM private key of INTERNAL_CERT_FILE")
    internal_ca_file: ReadableFile = Field(None, description="PEM bundle that signs the servers' INTERNAL_CERT_FILE")
    internal_server_name: str = Field(
        "tradecast-internal",
        pattern=r"^[0-9A-Za-z](?:[0-9A-Za-z.-]{0,251}[0-9A-Za-z])?$",
        description="Name that the certificate of every server's internal port is for, whatever its address",
    )
    internal_require_tls: bool = Field(
        False,
        description="Let nothing pass between servers without TLS; if false, servers that have no TLS (yet) are spoken "
        "to without, and may speak so themselves",
    )
    ssl_certfile: ReadableFile = Field(None, description="PEM certificate chain for the public port")
    ssl_keyfile: ReadableFile = Field(None, description="PEM private key for the public port")
    require_tls: bool = Field(
        False,
        description="Refuse requests that did not arrive over TLS, by X-Forwarded-Proto (health stays open)",
    )
    socket_path: SocketPath = Field(
        "/socket.io/",
        description="Path of Socket.IO on the public port, with or without slashes around it: what clients give as "
        "`path`, unless a proxy takes a prefix away ([client.md](client.md#another-path))",
    )
    cors_origin: Origins = Field(
        (),
        description="Origins whose pages may connect, comma-separated, of any scheme: `https://example.com`, "
        "`https://*.example.com` (one label), `capacitor://localhost`, `file://`, `null`; `*` for any; empty for the "
        "address that was asked for ([security.md](security.md#pages-of-other-sites))",
    )
    shutdown_timeout: Seconds = Field(10, description="Seconds given to connections and requests at shutdown")
    max_tcp_connections: int | None = Field(
        None,
        ge=1,
        description="TCP connections of the public port, WebSockets among them, and the same for the internal one; "
        "beyond, idle ones are closed, else the new one; absent: twice MAX_CONNECTIONS and 256. Fewer where the limit "
        "on open files (RLIMIT_NOFILE) does not allow so many",
    )
    keep_alive: Seconds = Field(
        75,
        description="Seconds that a connection of the public port may be idle between requests: longer than a load "
        "balancer in front keeps it (AWS: 60, nginx: 60), which answers 502 otherwise. Behind Traefik (90) 95, behind "
        "Google's (600) 620",
    )
    head_timeout: Seconds = Field(
        20,
        description="Seconds that a client may take to send the head of a request; a quarter of it while half of "
        "MAX_TCP_CONNECTIONS are used",
    )
    body_timeout: Seconds = Field(
        30, description="Seconds that a client may take to send a body, and one more for each 500 bytes of it"
    )
    tls_timeout: Seconds = Field(
        10, description="Seconds that a TLS handshake may take, on the public and on the internal port"
    )

    strict_settings: bool = Field(
        False,
        description="Stop the start where a variable looks like a setting and is none (`API_TOKENS`, `REDIS_HOST`, "
        "`REDIS_PASSWORD_FILE`); if false the log warns of it",
    )

    @property
    def internal_files(self) -> tuple[str | None, str | None, str | None]:
        """INTERNAL_CERT_FILE, INTERNAL_KEY_FILE and INTERNAL_CA_FILE."""
        return self.internal_cert_file, self.internal_key_file, self.internal_ca_file
