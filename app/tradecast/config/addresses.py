"""Addresses to listen on, and addresses that others connect to, in one form each. Pure."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Annotated

from pydantic import AfterValidator

# Every address of the machine, of both families. A container is reached from outside; the admin port is guarded by a
# token, the internal one takes signed requests only.
EVERYWHERE = "*"
WILDCARDS = ("0.0.0.0", EVERYWHERE)  # noqa: S104 addresses to listen on that are none to connect to


def check_host(host: str) -> str:
    """An address to listen on, in one form."""
    host = _without_brackets(host)
    if host in ("", EVERYWHERE):
        return EVERYWHERE
    if ":" not in host:
        if not re.fullmatch(r"[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*\.?", host):
            raise ValueError("must be an address or a name, without a port, or `*` for every address")
        return host
    address = _parse_ipv6(host)
    return EVERYWHERE if int(address) == 0 else _in_one_form(address)


def check_advertised(host: str | None) -> str | None:
    """An address that others can ask for, in one form."""
    if host is None:
        return None
    host = _without_brackets(host)
    if ":" in host:
        address = _parse_ipv6(host)
        if address.scope_id is not None:
            raise ValueError("an address with a zone (`%eth0`) is of no use to another machine")
        host = _in_one_form(address)
    elif not re.fullmatch(r"[0-9A-Za-z._-]{1,253}", host):
        raise ValueError("must be an address or a name, without scheme and port")
    if host in ("::", "0.0.0.0"):  # noqa: S104 refused
        raise ValueError("is a wildcard address, to which others cannot connect")
    return host


def _without_brackets(host: str) -> str:
    """As in a URL, where an IPv6 address has brackets."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _parse_ipv6(host: str) -> IPv6Address:
    try:
        return IPv6Address(host)
    except ValueError:
        raise ValueError("is not an IPv6 address (and must not have a port)") from None


def _in_one_form(address: IPv6Address) -> str:
    # Java and others write an IPv4 address so, which is no address of an IPv6 socket of ours.
    return str(address if address.ipv4_mapped is None else address.ipv4_mapped)


def addresses_overlap(one: str, other: str) -> bool:
    """Whether two addresses to listen on cannot have the same port."""
    hosts = {one, other}
    return len(hosts) == 1 or EVERYWHERE in hosts or ("0.0.0.0" in hosts and not any(":" in host for host in hosts))  # noqa: S104


Host = Annotated[str, AfterValidator(check_host)]
AdvertisedHost = Annotated[str | None, AfterValidator(check_advertised)]
