"""What is said of a Redis or MongoDB that cannot be used: the same in the log, at /health, and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.servers.process import ServeProcess, serving, tradecast
from kit.servers.troubles import MONGODB_TROUBLES, PLANTED, REDIS_TROUBLES, Trouble, in_trouble
from kit.waiting import eventually

# What `tradecast session` comes across: the others are about what only a server does.
SEEN_BY_SESSIONS = (
    *("closed_port", "unknown_host", "http_server", "plain_behind_rediss", "tls_behind_redis", "authority_not_named"),
    *("certificate_of_another_name", "certificate_that_has_expired", "client_certificate_wanted", "password_wanted"),
    *("password_wrong", "password_not_wanted", "redis_behind_cluster", "cluster_without_slots", "silent"),
    *("redis_behind_sentinel", "as_many_clients_as_it_takes"),
)


async def ask(url: str, path: str) -> tuple[int, dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.get(f"{url}{path}")
        return answer.status_code, dict(answer.json())


async def assert_told(server: ServeProcess, trouble: Trouble, dependency: str) -> None:
    path = f"/health/{dependency}"

    async def explained(url: str, path: str = path) -> tuple[int, dict[str, Any]] | None:
        """An answer that names the cause. On a busy machine a check may also time out, before or after."""
        status, body = await ask(url, path)
        return (status, body) if body.get(dependency, body).get("cause") == trouble.code else None

    status, body = await eventually(lambda: explained(server.admin_url), within=40)
    assert status == 503
    assert trouble.at in body["error"]
    assert trouble.about.lower() in f"{body['error']} {body['remedy']}".lower()
    # the public port, which is everybody's, does not say where
    _, outside = await eventually(lambda: explained(server.url), within=40)
    assert outside["remedy"] == body["remedy"]
    assert trouble.at not in json.dumps(outside)
    status, ready = await eventually(lambda: explained(server.url, "/health/ready"), within=40)
    assert (status, ready["status"]) == (200, "ready")
    lines = [json.loads(line) for line in server.err]
    *_, told = [one for one in lines if one["event"] == "a dependency is down" and one["cause"] == trouble.code]
    assert (told["why"], told["remedy"]) == (body["error"], body["remedy"])
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        metrics = (await http.get(f"{server.admin_url}/metrics")).text
    counted = f'tradecast_dependency_failures_total{{cause="{trouble.code}",dependency="{dependency}"}}'
    assert counted in metrics
    assert PLANTED not in "\n".join(server.err) + json.dumps(body) + metrics
    assert "Traceback" not in "\n".join(server.err)


@pytest.mark.redis
@pytest.mark.parametrize("name", [name for name in REDIS_TROUBLES if name != "memory_full"])
async def test_log_and_health_say_what_is_wrong_with_redis(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        async with serving(**trouble.environ) as server:
            await assert_told(server, trouble, "redis")


@pytest.mark.mongodb
@pytest.mark.parametrize("name", MONGODB_TROUBLES)
async def test_log_and_health_say_what_is_wrong_with_mongodb(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        async with serving(**trouble.environ) as server:
            await assert_told(server, trouble, "database")


@pytest.mark.redis
@pytest.mark.parametrize("name", SEEN_BY_SESSIONS)
async def test_the_command_line_says_what_is_wrong_with_redis(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        done = await tradecast("session", "list", **trouble.environ)
    assert done.code == 1
    assert f"Redis at {trouble.at}" in done.err
    assert trouble.about.lower() in done.err.lower()
    assert PLANTED not in done.err


@pytest.mark.mongodb
@pytest.mark.parametrize("name", MONGODB_TROUBLES)
async def test_the_command_line_says_what_is_wrong_with_mongodb(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        done = await tradecast("session", "list", **trouble.environ)
    assert done.code == 1
    assert f"MongoDB at {trouble.at}" in done.err
    assert trouble.about in done.err
    assert PLANTED not in done.err


@pytest.mark.redis
async def test_a_redis_that_answers_and_takes_nothing_is_reported_by_what_it_does_not_take(tmp_path: Path) -> None:
    with in_trouble("memory_full", tmp_path) as trouble:
        async with serving(API_TOKEN="t", PUBLISH_TIMEOUT="1", **trouble.environ) as server:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                body = {"event": "market:status", "status": {}}
                answer = await http.post(
                    f"{server.admin_url}/api/emit", json=body, headers={"authorization": "Bearer t"}
                )
            assert (answer.status_code, answer.json()["cause"]) == (503, "out_of_memory")
            assert answer.json()["reason"] == "Redis accepts no writes: its memory is full"
            line = await server.log("Redis request failed, retrying")
            assert (line["cause"], trouble.at in line["why"]) == ("out_of_memory", True)


@pytest.mark.redis
@pytest.mark.parametrize("name", ["closed_port", "password_wrong", "redis_behind_cluster", "key_not_permitted"])
async def test_an_event_that_is_not_sent_says_why(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        done = await tradecast("emit", "notification", "{}", "--user", "u1", **trouble.environ)
    assert done.code == 1
    assert f"Redis at {trouble.at}" in done.err
    assert trouble.about.lower() in done.err.lower()
    assert PLANTED not in done.err


async def test_a_server_that_is_not_there_is_reported_in_the_same_words(tmp_path: Path) -> None:
    with in_trouble("closed_port", tmp_path) as trouble:
        url = f"http://{trouble.at}"
        done = await tradecast("session", "list", "--admin-url", url)
        assert f"tradecast at {trouble.at} refuses the connection: nothing listens there" in done.err
        assert "--admin-url" in done.err
        done = await tradecast("emit", "market:status", "{}", "--url", url, "--token", PLANTED)
        assert f"tradecast at {trouble.at} refuses the connection: nothing listens there" in done.err
    assert PLANTED not in done.err
