"""`tradecast session` with each of the stores."""

from __future__ import annotations

import json

from integration.cli.commands import make_session, session
from kit.clients.node import StockClients
from kit.servers.process import ServeProcess
from protocol.contract import FAST, assert_alive


async def test_sessions_in_a_servers_memory(server: ServeProcess, stock_clients: StockClients) -> None:
    made = await make_session(server, "u1", "--tier", "premium", "--name", "Ann", "--email", "ann@example.com")
    assert made["userId"] == "u1"
    await make_session(server, "u2", "--admin")
    client = await stock_clients.connect(server.url, made, ["websocket"], **FAST)
    listed = await session("list", server)
    assert listed.code == 0
    assert [line.split()[1:4] for line in listed.out.splitlines()[1:]] == [
        ["u1", "premium", "no"],
        ["u2", "free", "yes"],
    ]
    assert made["sessionID"] not in listed.out
    assert "Ann" not in listed.out
    (one,) = json.loads((await session("list", server, "--user", "u1", "--json")).out)
    await assert_alive(client)
    revoked = await session("revoke", server, "--handle", one["handle"])
    assert (revoked.code, revoked.out) == (0, "revoked: 1\n")
    assert await client.wait_disconnect() == "io server disconnect"
    again = await session("revoke", server, "--stdin", stdin=made["sessionID"] + "\n")
    assert (again.code, again.out) == (1, "revoked: 0\n")
    assert "there is no such session" in again.err
    assert (await session("revoke", server, "--user", "u2")).out == "revoked: 1\n"


async def test_sessions_need_the_admin_token(server: ServeProcess) -> None:
    for command in (["create", "u1"], ["list"], ["revoke", "--user", "u1"]):
        for token in ("", "planted-wrong"):
            done = await session(command[0], server, *command[1:], token=token)
            assert done.code == 1
            assert "UNAUTHORIZED" in done.err
            assert "planted" not in done.err
