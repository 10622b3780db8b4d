from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tradecast.demo.feed import Feed
from tradecast.demo.page import MAX_BODY, demo_routes
from tradecast.demo.prices import load_prices
from tradecast.demo.static_files import STATIC
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.models import User

PRICES = load_prices()


@dataclass
class FakeSettings:
    demo_day_seconds: float = 20
    demo_tick_seconds: float = 0.5
    demo_start: str = "2012-05-21"
    session_max_age: float = 30 * 86_400
    socket_path: str = "/socket.io/"


@dataclass
class FakeSessions:
    made: list[tuple[User, float]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    down: bool = False

    async def create(self, user: User, max_age: float) -> tuple[str, float]:
        if self.down:
            raise StoreUnavailable("mongodb://secret@db is away")
        self.made.append((user, max_age))
        return f"session-{len(self.made)}", 1_000_000.5

    async def revoke(self, ids: Sequence[str]) -> int:
        self.revoked += ids
        return sum(session_id.startswith("session-") for session_id in ids)


class NoEmitters:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the page emits nothing, and yet {name}")


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


@pytest.fixture
def settings() -> FakeSettings:
    return FakeSettings()


@pytest.fixture
async def client(sessions: FakeSessions, settings: FakeSettings) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=demo_routes(sessions, Feed(NoEmitters(), settings, prices=PRICES), settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo") as client:
        yield client


async def test_the_page_is_served_with_a_strict_policy(client: httpx.AsyncClient) -> None:
    response = await client.get("/")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/socket.io/", "/push/socket.io/"])
async def test_page_knows_where_socket_io_is(path: str) -> None:
    settings = FakeSettings(socket_path=path)
    app = Starlette(routes=demo_routes(FakeSessions(), Feed(NoEmitters(), settings, prices=PRICES), settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo") as client:
        page = await client.get("/")
    assert re.findall(r'name="socket-path" content="([^"]+)"', page.text) == [path[1:]]


async def test_every_file_that_the_page_names_is_served(client: httpx.AsyncClient) -> None:
    page = (STATIC / "index.html").read_text()
    scripts = (STATIC / "app.js").read_text()
    names = [f"/{name}" for name in re.findall(r'(?:src|href)="(demo/static/[^"]+)"', page)]
    names += [f"/demo/static/{name}" for name in re.findall(r'from "\./([^"]+)"', scripts)]

    assert len(names) >= 6
    for name in names:
        response = await client.get(name)
        assert response.status_code == 200, name
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Type"].split(";")[0] in ("text/javascript", "text/css", "image/svg+xml")


async def test_a_file_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/demo/static/app.js")
    tag = first.headers["ETag"]

    assert first.headers["Cache-Control"] == "no-cache"
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = await client.get("/demo/static/app.js", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert (await client.get("/demo/static/app.js", headers={"If-None-Match": '"other"'})).status_code == 200
    assert (await client.get("/demo/static/style.css")).headers["ETag"] != tag


@pytest.mark.parametrize(
    "path",
    ["nothing.js", "", "../page.py", "..%2fpage.py", "%2e%2e/%2e%2e/settings.py", "vendor", "vendor/README"],
)
async def test_only_the_pages_files_are_served(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"/demo/static/{path}")

    assert response.status_code == 404
    assert b"import" not in response.content


async def test_users_are_listed_without_their_addresses(client: httpx.AsyncClient) -> None:
    response = await client.get("/demo/users")

    assert response.json()["users"][1] == {
        "id": "demo-premium",
        "name": "Petra Premium",
        "tier": "premium",
        "isAdmin": False,
    }
    assert [user["isAdmin"] for user in response.json()["users"]] == [False, False, False, True]
    assert "example.com" not in response.text


async def test_a_log_in_makes_a_session(client: httpx.AsyncClient, sessions: FakeSessions) -> None:
    response = await client.post("/demo/login", json={"user": "demo-admin"})

    assert response.status_code == 200
    assert response.json() == {
        "sessionID": "session-1",
        "userId": "demo-admin",
        "userName": "Ada Admin",
        "tier": "enterprise",
        "isAdmin": True,
        "expiresAt": 1_000_000_500,
    }
    assert response.headers["Cache-Control"] == "no-store"
    [(user, max_age)] = sessions.made
    assert (user.id, user.is_admin, max_age) == ("demo-admin", True, 12 * 3_600)


async def test_a_session_is_not_longer_than_the_setting(
    client: httpx.AsyncClient, sessions: FakeSessions, settings: FakeSettings
) -> None:
    settings.session_max_age = 60
    app = Starlette(routes=demo_routes(sessions, Feed(NoEmitters(), settings, prices=PRICES), settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo") as short:
        await short.post("/demo/login", json={"user": "demo-free"})

    assert sessions.made[0][1] == 60


async def test_a_log_out_revokes_the_session(client: httpx.AsyncClient, sessions: FakeSessions) -> None:
    known = await client.post("/demo/logout", json={"sessionID": "session-1"})
    unknown = await client.post("/demo/logout", json={"sessionID": "other"})

    assert (known.json(), unknown.json()) == ({"revoked": True}, {"revoked": False})
    assert sessions.revoked == ["session-1", "other"]


@pytest.mark.parametrize("path", ["/demo/login", "/demo/logout"])
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"not json", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 2_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b"", "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"user": ["demo-free"], "sessionID": {"$ne": 1}}', "application/json", 400),
        (b'{"user": "root", "sessionID": ""}', "application/json", 400),
        (b'{"user": "demo-free", "sessionID": "x"}', "text/plain", 415),
        (b'{"user": "demo-free", "sessionID": "x"}', "application/x-www-form-urlencoded", 415),
        (b'{"user": "demo-free", "sessionID": "x"}' + b" " * MAX_BODY, "application/json", 413),
    ],
)
async def test_a_bad_body_is_refused_with_the_reason(
    client: httpx.AsyncClient, sessions: FakeSessions, path: str, body: bytes, kind: str, status: int
) -> None:
    response = await client.post(path, content=body, headers={"Content-Type": kind})

    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert len(response.json()["error"]) > 10
    assert (sessions.made, sessions.revoked) == ([], [])


async def test_a_store_that_is_away_is_reported_without_its_message(
    client: httpx.AsyncClient, sessions: FakeSessions
) -> None:
    sessions.down = True

    response = await client.post("/demo/login", json={"user": "demo-free"})

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json() == {"error": "Sessions cannot be reached now; try again"}


async def test_history_holds_the_closes_before_the_replayed_day(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/demo/history?symbol=AAPL&days=3")).json()

    assert answer == {
        "symbol": "AAPL",
        "date": "2012-05-21",
        "replay": True,
        "closes": [
            {"date": "2012-05-16", "close": 546.08},
            {"date": "2012-05-17", "close": 530.12},
            {"date": "2012-05-18", "close": 530.38},
        ],
    }
    assert len((await client.get("/demo/history?symbol=AAPL")).json()["closes"]) == 60
    assert len((await client.get("/demo/history?symbol=FB")).json()["closes"]) == 1


@pytest.mark.parametrize(
    "query",
    ["", "symbol=", "symbol=aapl", "symbol=TSLA"]
    + [f"symbol=AAPL&days={days}" for days in ("0", "251", "-1", "x", "1.5", "٣", "9" * 5_000)],
)
async def test_a_bad_question_for_history_is_refused_with_the_reason(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/demo/history?{query}")

    assert response.status_code == 400
    assert re.match(r"symbol must be one of AAPL|days must be an integer", response.json()["error"])
