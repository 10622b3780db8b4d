"""Hosts and advertised addresses in one form."""

from __future__ import annotations

import pytest

from kit.settings import complaints
from tradecast.config.settings import load_settings


@pytest.mark.parametrize(
    ("written", "host"),
    [
        *(("", "*"), (" ", "*"), ("*", "*"), ("::", "*"), ("[::]", "*"), ("0:0:0:0:0:0:0:0", "*"), ("::0", "*")),
        *(
            ("0.0.0.0", "0.0.0.0"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
            ("0::1", "::1"),
            ("FD00::A", "fd00::a"),
        ),
        *(("fe80::1%eth0", "fe80::1%eth0"), ("localhost", "localhost"), ("my_pod.svc.", "my_pod.svc.")),
        *(("::ffff:127.0.0.1", "127.0.0.1"), ("[::FFFF:7f00:1]", "127.0.0.1"), ("::ffff:0.0.0.0", "0.0.0.0")),
    ],
)
def test_hosts_in_one_form(written: str, host: str) -> None:
    settings = load_settings(dict.fromkeys(("HOST", "ADMIN_HOST", "INTERNAL_HOST"), written))
    assert (settings.host, settings.admin_host, settings.internal_host) == (host, host, host)


@pytest.mark.parametrize(
    ("written", "address"), [("10.0.0.1", "10.0.0.1"), ("[FD00::1]", "fd00::1"), ("0::7", "::7"), ("a.b", "a.b")]
)
def test_advertised_address_in_one_form(written: str, address: str) -> None:
    assert load_settings({"ADVERTISED_ADDRESS": written}).advertised_address == address


@pytest.mark.parametrize(
    ("host", "other"), [("::", "127.0.0.1"), ("*", "0.0.0.0"), ("0.0.0.0", "10.0.0.1"), ("a", "a")]
)
def test_ports_that_differ_in_nothing_but_a_wildcard(host: str, other: str) -> None:
    (line,) = complaints(PORT="9", ADMIN_PORT="9", HOST=host, ADMIN_HOST=other)
    assert line == "ADMIN_PORT: must differ from PORT"
    for one in ("::1", "127.0.0.2"):
        assert load_settings({"PORT": "9", "ADMIN_PORT": "9", "HOST": "127.0.0.1", "ADMIN_HOST": one}).port == 9


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "pod-1.tradecast.svc"])
def test_addresses_that_make_sense(address: str) -> None:
    assert load_settings({"ADVERTISED_ADDRESS": address}).advertised_address == address
