"""Real things that do not work, each in one way: Redis, MongoDB, and what is neither."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from kit.network.ports import free_port
from kit.network.tls import make_certificates, sign_certificate
from kit.servers.mongo_server import MongoServer
from kit.servers.redis_cluster import ClusterNode, RedisCluster
from kit.servers.redis_sentinel import SERVICE, SentinelServer
from kit.servers.redis_server import RedisServer
from tradecast.causes import Code

PLANTED = "planted-pa55word"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong.

    Attributes:
        environ: Settings that lead there.
        code: The cause.
        at: Host and port, as it has to be said.
        about: What else has to be said.
    """

    environ: dict[str, str]
    code: Code
    at: str
    about: str = ""


Make = Callable[[Path], Iterator[Trouble]]
REDIS_TROUBLES: dict[str, Make] = {}
MONGODB_TROUBLES: dict[str, Make] = {}


def redis(make: Make) -> Make:
    """Add one with Redis."""
    REDIS_TROUBLES[make.__name__] = make
    return make


def mongodb(make: Make) -> Make:
    """Add one with MongoDB."""
    MONGODB_TROUBLES[make.__name__] = make
    return make


@contextlib.contextmanager
def in_trouble(name: str, folder: Path) -> Iterator[Trouble]:
    """One of them, while it lasts."""
    with contextlib.contextmanager({**REDIS_TROUBLES, **MONGODB_TROUBLES}[name])(folder) as trouble:
        yield trouble


@contextlib.contextmanager
def running(*extra_args: str, tls: bool = False) -> Iterator[RedisServer]:
    """A redis-server with these arguments."""
    server = RedisServer(*extra_args, tls=tls)
    server.start_now()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def _serving_tls(certificate: str, key: str, ca: str, *, clients: str = "no") -> Iterator[RedisServer]:
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca)
    with running(*files, "--tls-auth-clients", clients, tls=True) as server:
        yield server


def _redis(at: str, code: Code, about: str = "", scheme: str = "redis", more: str = "", **environ: str) -> Trouble:
    return Trouble({"REDIS_URL": f"{scheme}://{at}{more}", **environ}, code, at.rpartition("@")[2], about)


@redis
def closed_port(folder: Path) -> Iterator[Trouble]:
    yield _redis(f":{PLANTED}@127.0.0.1:{free_port()}", Code.REFUSED)


@redis
def closed_port_of_a_cluster(folder: Path) -> Iterator[Trouble]:
    yield _redis(f"127.0.0.1:{free_port()}", Code.REFUSED, scheme="redis+cluster")


@redis
def unknown_host(folder: Path) -> Iterator[Trouble]:
    yield _redis("redis.nowhere.invalid:6379", Code.UNRESOLVABLE)


@redis
def silent(folder: Path) -> Iterator[Trouble]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield _redis(f"127.0.0.1:{taken.getsockname()[1]}", Code.TIMED_OUT, REDIS_TIMEOUT="0.5")


@redis
def http_server(folder: Path) -> Iterator[Trouble]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name there
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield _redis(f"127.0.0.1:{server.server_port}", Code.SPEAKS_HTTP)
        server.shutdown()
        thread.join()


@redis
def plain_behind_rediss(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.TLS_UNEXPECTED, scheme="rediss", REDIS_TIMEOUT="0.5")


@redis
def tls_behind_redis(folder: Path) -> Iterator[Trouble]:
    made = make_certificates(folder)
    with _serving_tls(made.server_cert, made.server_key, made.ca) as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.TLS_EXPECTED, "rediss://")


@redis
def authority_not_named(folder: Path) -> Iterator[Trouble]:
    made = make_certificates(folder)
    with _serving_tls(made.server_cert, made.server_key, made.ca) as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.TLS_UNKNOWN_CA, "REDIS_CA_FILE", scheme="rediss")


@redis
def certificate_of_another_name(folder: Path) -> Iterator[Trouble]:
    made = make_certificates(folder)
    certificate, key = sign_certificate(folder, "other", "subjectAltName=DNS:redis.example.com")
    with _serving_tls(certificate, key, made.ca) as server:
        at = f"127.0.0.1:{server.port}"
        yield _redis(at, Code.TLS_WRONG_NAME, scheme="rediss", REDIS_CA_FILE=made.ca)


@redis
def certificate_that_has_expired(folder: Path) -> Iterator[Trouble]:
    made = make_certificates(folder)
    certificate, key = sign_certificate(folder, "old", "subjectAltName=IP:127.0.0.1", -1)
    with _serving_tls(certificate, key, made.ca) as server:
        at = f"127.0.0.1:{server.port}"
        yield _redis(at, Code.TLS_CERTIFICATE_EXPIRED, scheme="rediss", REDIS_CA_FILE=made.ca)


@redis
def client_certificate_wanted(folder: Path) -> Iterator[Trouble]:
    made = make_certificates(folder)
    with _serving_tls(made.server_cert, made.server_key, made.ca, clients="yes") as server:
        at = f"127.0.0.1:{server.port}"
        yield _redis(at, Code.TLS_CLIENT_CERTIFICATE, "REDIS_CERT_FILE", scheme="rediss", REDIS_CA_FILE=made.ca)


@redis
def password_wanted(folder: Path) -> Iterator[Trouble]:
    with running("--requirepass", PLANTED) as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.PASSWORD_WANTED, "REDIS_PASSWORD")


@redis
def password_wrong(folder: Path) -> Iterator[Trouble]:
    with running("--requirepass", "another") as server:
        yield _redis(f":{PLANTED}@127.0.0.1:{server.port}", Code.PASSWORD_WRONG)


@redis
def password_not_wanted(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.PASSWORD_UNEXPECTED, REDIS_PASSWORD=PLANTED)


@redis
def command_not_permitted(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        server.ask_now("ACL", "SETUSER", "caster", "on", f">{PLANTED}", "~*", "&*", "+@all", "-ping", "-xadd")
        yield _redis(f"caster:{PLANTED}@127.0.0.1:{server.port}", Code.NO_PERMISSION, "PING")


@redis
def channel_not_permitted(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        server.ask_now("ACL", "SETUSER", "caster", "on", f">{PLANTED}", "~*", "resetchannels", "+@all")
        yield _redis(f"caster:{PLANTED}@127.0.0.1:{server.port}", Code.NO_PERMISSION, "channel")


@redis
def key_not_permitted(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        server.ask_now("ACL", "SETUSER", "caster", "on", f">{PLANTED}", "~sess:*", "&*", "+@all")
        yield _redis(f"caster:{PLANTED}@127.0.0.1:{server.port}", Code.NO_PERMISSION, "key")


@redis
def cluster_behind_redis(folder: Path) -> Iterator[Trouble]:
    cluster = RedisCluster()
    cluster.start_now()
    try:
        # a node without the slot of the events, and one that has it and not those of all sessions
        yield _redis(f"127.0.0.1:{cluster.nodes[0].port}", Code.IS_CLUSTER, "redis+cluster://")
    finally:
        cluster.close()


@redis
def redis_behind_cluster(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.IS_NO_CLUSTER, "redis://", scheme="redis+cluster")


@redis
def cluster_without_slots(folder: Path) -> Iterator[Trouble]:
    node = ClusterNode()
    node.start_now()
    try:
        yield _redis(f"127.0.0.1:{node.port}", Code.CLUSTER_DOWN, scheme="redis+cluster")
    finally:
        node.close()


@redis
def redis_behind_sentinel(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        at = f"127.0.0.1:{server.port}"
        yield _redis(at, Code.IS_NO_SENTINEL, scheme="redis+sentinel", more=f"/0/{SERVICE}")


@redis
def sentinel_that_knows_another_name(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        sentinel = SentinelServer(server.port)
        sentinel.start_now()
        try:
            at = f"127.0.0.1:{sentinel.port}"
            yield _redis(at, Code.NO_MASTER, scheme="redis+sentinel", more="/0/nobody")
        finally:
            sentinel.close()


def only_client(port: int) -> socket.socket:
    """The one client that a Redis takes: it is full until it has noticed that the one which saw it start is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        client = socket.create_connection(("127.0.0.1", port))
        with contextlib.suppress(ConnectionError):
            client.sendall(b"PING\r\n")
            if client.recv(16).startswith(b"+PONG"):
                return client
        client.close()
    raise AssertionError("Redis stays full")


@redis
def as_many_clients_as_it_takes(folder: Path) -> Iterator[Trouble]:
    with running("--maxclients", "1") as server, only_client(server.port):
        yield _redis(f"127.0.0.1:{server.port}", Code.TOO_MANY_CLIENTS, "maxclients")


@redis
def replica(folder: Path) -> Iterator[Trouble]:
    with running() as master, running("--replicaof", "127.0.0.1", str(master.port)) as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.READ_ONLY)


@redis
def memory_full(folder: Path) -> Iterator[Trouble]:
    with running("--maxmemory", "1") as server:
        yield _redis(f"127.0.0.1:{server.port}", Code.OUT_OF_MEMORY, "maxmemory")


def _mongodb(port: int, code: Code, about: str = "", user: str = "", more: str = "", **environ: str) -> Trouble:
    at = f"127.0.0.1:{port}"
    given = {"MONGODB_URI": f"mongodb://{user}{at}/app{more}", "MONGODB_TIMEOUT": "1", **environ}
    return Trouble(given, code, at, about)


@contextlib.contextmanager
def _with_users() -> Iterator[MongoServer]:
    server = MongoServer()
    server.start_now()
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(server.uri)
        with client:
            client["app"].command("createUser", "ann", pwd="right", roles=["readWrite"])
        server.stop_now()
        server.extra_args = ("--auth",)
        server.start_now()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def _mongodb_with_tls(folder: Path) -> Iterator[tuple[MongoServer, str]]:
    made = make_certificates(folder)
    server = MongoServer("--tls-cert-file", made.server_cert, "--tls-key-file", made.server_key)
    server.start_now()
    try:
        yield server, made.ca
    finally:
        server.close()


@mongodb
def mongodb_on_a_closed_port(folder: Path) -> Iterator[Trouble]:
    yield _mongodb(free_port(), Code.REFUSED, user=f"ann:{PLANTED}@")


@mongodb
def mongodb_silent(folder: Path) -> Iterator[Trouble]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield _mongodb(taken.getsockname()[1], Code.TIMED_OUT, MONGODB_TIMEOUT="0.5")


@mongodb
def redis_behind_mongodb(folder: Path) -> Iterator[Trouble]:
    with running() as server:
        yield _mongodb(server.port, Code.OTHER_SERVICE, "Redis answers there")


@mongodb
def mongodb_password_wrong(folder: Path) -> Iterator[Trouble]:
    with _with_users() as server:
        yield _mongodb(server.port, Code.PASSWORD_WRONG, user=f"ann:{PLANTED}@")


@mongodb
def mongodb_tls_not_asked_for(folder: Path) -> Iterator[Trouble]:
    with _mongodb_with_tls(folder) as (server, _):
        yield _mongodb(server.port, Code.TLS_EXPECTED, "tls=true")


@mongodb
def mongodb_authority_not_named(folder: Path) -> Iterator[Trouble]:
    with _mongodb_with_tls(folder) as (server, _):
        yield _mongodb(server.port, Code.TLS_UNKNOWN_CA, "MONGODB_CA_FILE", more="?tls=true")


@mongodb
def mongodb_without_tls(folder: Path) -> Iterator[Trouble]:
    server = MongoServer()
    server.start_now()
    try:
        yield _mongodb(server.port, Code.TLS_UNEXPECTED, "tls=false", more="?tls=true")
    finally:
        server.close()


@mongodb
def mongodb_of_another_replica_set(folder: Path) -> Iterator[Trouble]:
    server = MongoServer()
    server.start_now()
    try:
        yield _mongodb(server.port, Code.OTHER_REPLICA_SET, "replicaSet", more="?replicaSet=another")
    finally:
        server.close()
