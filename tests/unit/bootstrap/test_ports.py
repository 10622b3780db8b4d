"""The ports of a server, and their shares of the files that may be open."""

from __future__ import annotations

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tradecast.bootstrap import ports as module
from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.bootstrap.ports import FORWARDED_BYTES, FORWARDED_LINES, Served, create_process
from tradecast.config.settings import load_settings
from tradecast.engine.http.connection_bounds import ConnectionBounds
from tradecast.lifecycle.process import Listener


class FakeServer:
    """An initialized server, as far as its ports need it."""

    def __init__(self, *, has_internal: bool) -> None:
        self.settings = load_settings({"MAX_CONNECTIONS": "1000", "HEAD_TIMEOUT": "8", "KEEP_ALIVE": "33"})
        self.metrics = ServerMetrics()
        self.calls: list[tuple[Any, ...]] = []
        self._has_internal = has_internal

    def public_app(self) -> str:
        return "public app"

    def admin_app(self) -> str:
        return "admin app"

    def internal_app(self) -> str | None:
        return "internal app" if self._has_internal else None

    def public_upgrades(self) -> None:
        return None

    def internal_upgrades(self) -> None:
        return None

    def public_certificate(self) -> None:
        return None

    def internal_tls(self) -> None:
        return None

    async def internal_listening(self, port: int, *, tls: bool = False) -> None:
        self.calls.append(("internal", port, tls))

    async def send_away(self) -> None:
        self.calls.append(("send away",))


def listen(server: FakeServer) -> dict[str, Listener]:
    return {one.name: one for one in create_process(cast(Served, server))._listeners}


def bound(server: FakeServer) -> dict[str, ConnectionBounds]:
    return {name: one.bounds for name, one in listen(server).items() if one.bounds is not None}


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_file_limit", lambda: 100_000)


def test_what_each_port_serves() -> None:
    with capture_logs() as lines:
        found = listen(FakeServer(has_internal=True))
    assert {name: str(one.app) for name, one in found.items()} == {
        "public": "public app",
        "admin": "admin app",
        "internal": "internal app",
    }
    assert listen(FakeServer(has_internal=False)).keys() == {"public", "admin"}
    assert lines == []


def test_bounds_of_each_port() -> None:
    bounds = bound(FakeServer(has_internal=True))
    public, admin, internal = (bounds[name].limits for name in ("public", "admin", "internal"))
    assert (public.head_seconds, public.hurried_head_seconds, public.keep_alive) == (8, 2, 33)
    assert admin.keep_alive == module.ADMIN_KEEPS
    assert internal.head_bytes == public.head_bytes + FORWARDED_BYTES
    assert internal.head_lines == public.head_lines + FORWARDED_LINES
    assert bounds["public"].most >= 1_000


def test_too_few_files_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_file_limit", lambda: 600)
    with capture_logs() as lines:
        bounds = bound(FakeServer(has_internal=False))["public"]
    (line,) = lines
    assert line["event"].startswith("RLIMIT_NOFILE is too low for MAX_CONNECTIONS")
    assert (line["limit"], line["needed"], line["taken"]) == (600, 1_000, bounds.most)
    assert bounds.most < 600


@pytest.mark.parametrize("has_internal", [True, False])
async def test_the_server_learns_its_internal_port_and_that_it_stops(has_internal: bool) -> None:
    server = FakeServer(has_internal=has_internal)
    hooks = create_process(cast(Served, server))._hooks
    await hooks.ports_bound({"public": 1, "internal": 9} if has_internal else {"public": 1})
    await hooks.before_stop()
    assert server.calls == [("internal", 9, False)] * has_internal + [("send away",)]
