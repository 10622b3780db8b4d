"""Which network a request comes from, for bounds that hold for each client address. Pure."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final, NamedTuple

from tradecast.engine.http.request import Request

# An IPv6 customer has a network of this size at least (RFC 6177), and any address in it for the asking.
IPV6_PREFIX: Final = 64


class Network(NamedTuple):
    """An IPv4 address, or an IPv6 network of 64 bits.

    Attributes:
        version: 4 or 6.
        number: The address, or the network's 64 bits.
    """

    version: int
    number: int


def find_network(request: Request, trusted_proxies: int) -> Network | None:
    """Where a request comes from; None: unknown, or one address stands for many clients.

    Each proxy adds the address that it was asked from to the end of `X-Forwarded-For`, so the last entries are theirs,
    and whatever is in front of those is a client's word. Where no proxy is trusted, or none has said anything, the
    peer's own address counts, unless it is a private one: that is a load balancer's, behind which all clients look
    the same.

    Args:
        request: The request.
        trusted_proxies: How many proxies a request passes, each of which adds to the header.
    """
    if trusted_proxies > 0:
        entries = [
            entry for name, value in request.headers if name == b"x-forwarded-for" for entry in value.split(b",")
        ]
        if entries:
            # Where there are fewer, the request has come by a shorter way, and proxies have written all of them.
            entry = entries[max(0, len(entries) - trusted_proxies)]
            return _parse_network(entry.decode("latin-1").strip())[0]
    if request.peer is None:
        return None
    network, public = _parse_network(request.peer)
    return network if public else None


@lru_cache(maxsize=1024)
def _parse_network(text: str) -> tuple[Network | None, bool]:
    """The network of an address, and whether it is a public one; (None, False) for a text that is no address."""
    if len(text) > 64:
        return None, False
    address = _parse_address(text) or _parse_address(_without_port(text))
    if address is None:
        return None, False
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            return Network(6, int(address) >> (128 - IPV6_PREFIX)), address.is_global
        address = mapped
    return Network(4, int(address)), address.is_global


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _without_port(text: str) -> str:
    # Azure's gateway writes 192.0.2.1:50000, others [2001:db8::1]:50000.
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]
