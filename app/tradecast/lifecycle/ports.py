"""Binds ports: at one address, or at all addresses of both families."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from collections.abc import Iterable
from typing import Final

import structlog

from tradecast.config.addresses import EVERYWHERE, WILDCARDS

LOOPBACK: Final = "127.0.0.1"
# With port 0 the system chooses one that is free at the first address, and perhaps not at the second.
TRIES: Final = 20
# Errors of a machine without addresses of a family: its kernel has no IPv6, or IPv6 is disabled.
NO_SUCH_FAMILY: Final = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL)
FAMILIES: Final[dict[int, str]] = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
Address = tuple[socket.AddressFamily, tuple[object, ...]]
log = structlog.stdlib.get_logger("tradecast.lifecycle")


class PortInUse(OSError):
    """A port cannot be listened on; the message says which and why."""


def bind_port(host: str, port: int, backlog: int, name: str) -> list[socket.socket]:
    """Sockets that listen on one port: at every address of a host, or of the machine (`EVERYWHERE`).

    There is one socket per address family, so that IPv4 clients have IPv4 addresses, whatever `net.ipv6.bindv6only` is.
    A family that the machine does not support is skipped, if it supports the other one.

    Args:
        host: An address, a name, or `EVERYWHERE`.
        port: 0: the same free one for all.
        backlog: Connections that may wait to be accepted, of each socket.
        name: The port's name, for errors.

    Raises:
        PortInUse: The port is taken or not allowed, or the host is not one of this machine's addresses.
    """
    addresses = _find_addresses(host, port, name)
    for last in itertools.repeat(False, TRIES - 1):
        with contextlib.suppress(_Collision):
            return _bind_all(addresses, port, backlog, name, host, last=last)
    return _bind_all(addresses, port, backlog, name, host, last=True)


def describe_families(sockets: Iterable[socket.socket]) -> str:
    """Which kinds of addresses sockets listen on."""
    return ", ".join(dict.fromkeys(FAMILIES[bound.family] for bound in sockets))


def find_reachable(host: str) -> str:
    """The address at which this machine finds a server that listens on a host."""
    return LOOPBACK if host in WILDCARDS else host


class _Collision(Exception):
    """The port that the system chose for one address is taken at another."""


def _bind_all(
    addresses: list[Address], port: int, backlog: int, name: str, host: str, *, last: bool
) -> list[socket.socket]:
    found: list[socket.socket] = []
    missing: list[tuple[socket.AddressFamily, OSError]] = []
    try:
        for family, address in addresses:
            chosen = found[0].getsockname()[1] if found else port
            try:
                found.append(_open_socket(family, (address[0], chosen, *address[2:]), backlog))
            except OSError as error:
                if error.errno in NO_SUCH_FAMILY:
                    missing.append((family, error))
                    continue
                if error.errno == errno.EADDRINUSE and port == 0 and found and not last:
                    raise _Collision from None
                where = join_address(str(address[0]), chosen)
                raise PortInUse(f"cannot listen on {where} ({name} port): {error.strerror}") from None
        if not found:
            raise PortInUse(f"cannot listen on {join_address(host, port)} ({name} port): {missing[0][1].strerror}")
    except BaseException:
        for bound in found:
            bound.close()
        raise
    for family, reason in missing:
        log.info("this machine has no such addresses to listen on", of=FAMILIES[family], port=name, why=reason.strerror)
    return found


def _open_socket(family: socket.AddressFamily, address: tuple[object, ...], backlog: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(backlog)
    except BaseException:
        bound.close()
        raise
    return bound


def _find_addresses(host: str, port: int, name: str) -> list[Address]:
    """Where to listen, without doubles, IPv4 first."""
    if host == EVERYWHERE:
        return [(socket.AF_INET, ("0.0.0.0", port)), (socket.AF_INET6, ("::", port, 0, 0))]  # noqa: S104 asked for
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):  # UnicodeError: the host is no name that could be looked up
        raise PortInUse(f"cannot listen on {join_address(host, port)} ({name} port): there is no such host") from None
    addresses = dict.fromkeys((family, tuple(address)) for family, _, _, _, address in found if family in FAMILIES)
    return sorted(addresses, key=lambda one: one[0] != socket.AF_INET)


def join_address(host: str, port: int | str) -> str:
    """A host and a port in one text, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
