"""Commands that speak to a server, and what they need."""

from __future__ import annotations

import json
from typing import Any

from kit.servers.process import Done, ServeProcess, tradecast

TOKEN = "planted-api-token"
ADMIN = "planted-admin-token"


async def session(command: str, server: ServeProcess, *arguments: str, stdin: str = "", token: str = ADMIN) -> Done:
    return await tradecast(
        "session", command, *arguments, "--admin-url", server.admin_url, ADMIN_TOKEN=token, stdin=stdin
    )


async def make_session(server: ServeProcess, user_id: str = "u1", *arguments: str) -> dict[str, Any]:
    done = await session("create", server, user_id, *arguments)
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def assert_clean(running: ServeProcess) -> None:
    """Nothing on standard error but log lines, and none of an error."""
    text = "\n".join(running.err)
    assert "Traceback" not in text
    assert "Exception" not in text
    levels = [json.loads(line)["level"] for line in running.err]
    assert "error" not in levels, text
    assert running.out == []
