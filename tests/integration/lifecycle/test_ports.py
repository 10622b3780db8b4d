"""Ports of both families, on machines that have both and on machines that have one."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from kit.network.ports import free_port
from kit.servers.in_process import RunningServer
from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.lifecycle.ports import PortInUse, bind_port, describe_families

V4, V6 = "127.0.0.1", "::1"


def has_ipv6() -> bool:
    try:
        with socket.create_server((V6, 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextlib.contextmanager
def bound(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    """Sockets that are closed in the end."""
    found = bind_port(host, port, 5, "public")
    try:
        yield found
    finally:
        for one in found:
            one.close()


def reaches(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=10):
            return True
    except ConnectionRefusedError:
        return False


class Without:
    """A machine that says of a family that it has no such addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, family: int, error: int, *, late: bool) -> None:
        real = socket.socket

        class Socket(real):  # type: ignore[misc, valid-type]  # a class that is made for this machine
            def __init__(self, wanted: int = socket.AF_INET, *more: Any, **options: Any) -> None:
                if wanted == family and not late:
                    raise OSError(error, "the family is not there")
                super().__init__(wanted, *more, **options)

            def bind(self, address: Any) -> None:
                if self.family == family:
                    raise OSError(error, "the family is not there")
                super().bind(address)

        monkeypatch.setattr(socket, "socket", Socket)


@needs_ipv6
def test_everywhere_is_both_families_on_one_port() -> None:
    with bound("*") as found:
        ports = {one.getsockname()[1] for one in found}
        (port,) = ports
        assert describe_families(found) == "IPv4, IPv6"
        assert reaches(V4, port)
        assert reaches(V6, port)
        assert [one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) for one in found[1:]] == [1]


@needs_ipv6
def test_an_address_is_itself_alone() -> None:
    with bound("0.0.0.0") as (four,):
        assert not reaches(V6, four.getsockname()[1])
    with bound(V6) as (six,):
        assert not reaches(V4, six.getsockname()[1])


def test_a_name_is_all_its_addresses() -> None:
    with bound("localhost") as found:
        port = found[0].getsockname()[1]
        for one in found:
            assert reaches(one.getsockname()[0], port)


@pytest.mark.parametrize(("error", "late"), [(errno.EAFNOSUPPORT, False), (errno.EADDRNOTAVAIL, True)])
@pytest.mark.parametrize(("family", "left"), [(socket.AF_INET6, V4), (socket.AF_INET, V6)])
def test_machine_of_one_family_serves_that(
    monkeypatch: pytest.MonkeyPatch, family: int, left: str, error: int, late: bool
) -> None:
    if left == V6 and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    with monkeypatch.context() as machine:
        Without(machine, family, error, late=late)
        with bound("*") as (one,):
            machine.undo()
            assert reaches(left, one.getsockname()[1])


def test_machine_without_the_family_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    Without(monkeypatch, socket.AF_INET6, errno.EAFNOSUPPORT, late=False)
    with pytest.raises(PortInUse, match=r"cannot listen on \[?::1\]?:0 \(public port\): the family is not there"):
        bind_port(V6, 0, 5, "public")


@needs_ipv6
@pytest.mark.parametrize(("taken", "named"), [("0.0.0.0", "0.0.0.0"), (V6, "[::]")])
def test_port_that_is_taken_in_one_family_is_taken(taken: str, named: str) -> None:
    port = free_port()
    with bound(taken, port):
        with pytest.raises(PortInUse) as caught:
            bind_port("*", port, 5, "admin")
        assert str(caught.value) == f"cannot listen on {named}:{port} (admin port): Address already in use"
    with bound("*", port) as found:
        assert len(found) == 2


@needs_ipv6
def test_a_free_port_is_free_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = socket.socket.bind, []

    def unlucky(self: socket.socket, address: Any) -> None:
        tries.append(address)
        if self.family == socket.AF_INET6 and len(tries) < 7:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        real(self, address)

    monkeypatch.setattr(socket.socket, "bind", unlucky)
    with bound("*") as found:
        assert len({one.getsockname()[1] for one in found}) == 1
        assert len(tries) == 8


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "x" * 300])
def test_host_of_another_machine(host: str) -> None:
    with pytest.raises(PortInUse, match=r"cannot listen on .*:0 \(public port\): \w+"):
        bind_port(host, 0, 5, "public")


@needs_ipv6
@pytest.mark.parametrize("host", ["", "*", "::"])
async def test_server_serves_both_families_on_all_its_ports(redis_server: RedisServer, host: str) -> None:
    settings = load_settings(
        {
            "HOST": host,
            "ADMIN_HOST": host,
            "INTERNAL_HOST": host,
            "REDIS_URL": redis_server.url,
            "TRANSPORTS": "websocket,polling",
        },
        port=0,
        admin_port=0,
        internal_port=0,
    )
    async with RunningServer(settings) as server, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        ports = server.ports
        assert set(ports) == {"public", "admin", "internal"}
        for address in (V4, f"[{V6}]"):
            for name in ("public", "admin"):
                assert (await http.get(f"http://{address}:{ports[name]}/health")).status_code == 200
            assert (await http.get(f"http://{address}:{ports['internal']}/")).status_code >= 400
            # without a token, programs of this machine alone: those of both families are
            assert (await http.get(f"http://{address}:{ports['admin']}/admin/stats")).status_code == 200
