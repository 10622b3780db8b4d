from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tradecast.load.client import Credential
from tradecast.load.options import LoadOptions, OptionsError

GOOD = LoadOptions("http://127.0.0.1:8000", [Credential("secret-id", "u1")], token="secret-token")


def test_defaults_make_sense() -> None:
    GOOD.check()
    assert GOOD.publish_url == "http://127.0.0.1:8000/api/emit"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_this_machine_is_allowed(host: str) -> None:
    replace(GOOD, url=f"http://{host}:8000").check()


@pytest.mark.parametrize("host", ["10.0.0.1", "example.test", "127.0.0.1.example.test", "[2001:db8::1]", "0.0.0.0"])
def test_other_machines_need_leave(host: str) -> None:
    remote = replace(GOOD, url=f"http://{host}:8000")
    with pytest.raises(OptionsError, match="is not this machine"):
        remote.check()
    replace(remote, allow_remote=True).check()


def test_publishing_elsewhere_needs_leave_too() -> None:
    with pytest.raises(OptionsError, match=r"emit_url: 10\.0\.0\.1 is not this machine"):
        replace(GOOD, emit_url="http://10.0.0.1/api/emit").check()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"url": "nonsense"}, "url: "),
        ({"emit_url": "ws://127.0.0.1/x"}, "emit_url: "),
        ({"credentials": []}, "credentials: "),
        ({"symbols": []}, "symbols: "),
        ({"symbols_per_client": 0}, "symbols_per_client: "),
        ({"symbols_per_client": 6}, "symbols_per_client: "),
        ({"mix": {"nothing": 1}}, "mix: no event nothing"),
        ({"mix": {"watchlist:quote": 0}}, "mix: weights"),
        ({"mix": {"watchlist:quote": -1}}, "mix: weights"),
        ({"mix": {"watchlist:quote": float("nan")}}, "mix: weights"),
        ({"clients": 0}, "clients: "),
        ({"clients": 20_001}, "clients: "),
        ({"connect_rate": 0}, "connect_rate: "),
        ({"duration": -1}, "duration: "),
        ({"duration": float("inf")}, "duration: "),
        ({"rate": float("nan")}, "rate: "),
        ({"rate": 10_001}, "rate: "),
        ({"headers": {"X Y": "1"}}, "headers: 'X Y'"),
        ({"headers": {"x": "1\r\nhost: other"}}, "headers: 'x'"),
    ],
)
def test_nonsense_is_reported_by_name(change: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionsError, match=told):
        replace(GOOD, **change).check()


def test_all_that_is_wrong_is_reported() -> None:
    with pytest.raises(OptionsError) as caught:
        replace(GOOD, clients=0, rate=-1).check()
    assert len(str(caught.value).splitlines()) == 2


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(GOOD)


def test_one_wrong_url_is_named_once() -> None:
    with pytest.raises(OptionsError) as caught:
        replace(GOOD, url="http://10.0.0.1").check()
    assert [name for name, _ in caught.value.problems] == ["url"]
