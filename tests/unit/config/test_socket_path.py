"""Socket.IO's path in one form."""

from __future__ import annotations

import pytest

from tradecast.config.settings import load_settings


@pytest.mark.parametrize(
    ("written", "path"),
    [
        *((one, "/push/socket.io/") for one in ("/push/socket.io", "push/socket.io/", "//push//socket.io//")),
        *(("ws", "/ws/"), ("/a/b.c/d_e~f-1/", "/a/b.c/d_e~f-1/"), ("/api/socket.io", "/api/socket.io/")),
        *(("/health.x", "/health.x/"), ("", "/socket.io/")),
    ],
)
def test_socket_path_in_one_form(written: str, path: str) -> None:
    assert load_settings({"SOCKET_PATH": written}).socket_path == path
