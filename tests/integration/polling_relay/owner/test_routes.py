"""Finding the owner of a connection, and what becomes of one that is gone or does not know this server."""

from __future__ import annotations

import httpx
import pytest
from structlog.testing import capture_logs

from integration.polling_relay.relayed import said
from kit.servers.fleet import UNKNOWN_SESSION, FakeOwner, forwarded, known_to
from kit.servers.in_process import RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.polling_relay.sids import make_sid, new_boot

pytestmark = pytest.mark.redis


async def test_an_owner_that_has_left_is_unknown_at_once(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    never = make_sid(new_boot(), owner.directory.keys[0])
    answer = await http.get(f"/socket.io/?EIO=4&transport=polling&sid={never}", headers={"Origin": edge.url})
    assert said(answer) == UNKNOWN_SESSION
    assert answer.headers["access-control-allow-origin"] == edge.url, "so that a page sees it"
    assert said(await http.post(f"/socket.io/?EIO=4&transport=polling&sid={never}", content=b"2")) == UNKNOWN_SESSION
    assert forwarded(edge) == {"unknown": 2}


async def test_an_address_that_somebody_else_has_by_now(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    owner.answer = b"HTTP/1.1 410 Gone\r\nX-Tradecast-Refused: boot\r\nContent-Length: 0\r\n\r\n"
    for content in (None, b"4hello"):
        request = http.build_request("POST" if content else "GET", owner.path(), content=content)
        assert said(await http.send(request)) == UNKNOWN_SESSION
    assert forwarded(edge) == {"unknown": 2}


async def test_an_owner_that_does_not_take_our_signature_is_an_error(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    owner.answer = b"HTTP/1.1 403 Forbidden\r\nX-Tradecast-Refused: signature\r\nContent-Length: 0\r\n\r\n"
    with capture_logs() as logs:
        for _ in range(3):
            answer = await http.get(owner.path())
            assert (answer.status_code, answer.json()["code"]) == (502, "OWNER_REFUSED")
    assert [entry["log_level"] for entry in logs] == ["warning"], "not for each"
    assert owner.boot not in str(logs)
    assert forwarded(edge) == {"refused": 3}


async def test_while_redis_is_away_known_owners_are_reached_and_others_are_an_error(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer, own_redis: RedisServer
) -> None:
    await eventually(lambda: known_to(edge) == 1)
    await own_redis.stop()
    assert (await http.get(owner.path())).text == "ok"
    never = make_sid(new_boot(), owner.directory.keys[0])
    answer = await http.get(f"/socket.io/?EIO=4&transport=polling&sid={never}")
    assert (answer.status_code, answer.json()["code"]) == (503, "OWNER_UNKNOWN")
    await own_redis.start()
    await eventually(lambda: edge.app.components.relay and not edge.app.components.relay.announcement.addresses._away)
    assert said(await http.get(f"/socket.io/?EIO=4&transport=polling&sid={never}")) == UNKNOWN_SESSION
    assert (await http.get(owner.path())).text == "ok", "its lease is not over, though Redis lost it"
