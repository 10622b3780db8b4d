"""Bodies of requests: bounded, and JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from integration.http.answers import BEARER, NOTICE, assert_error
from kit.servers.in_process import RunningServer


@pytest.mark.parametrize("body", [b"", b"{", b"planted-secret", b"\xff\xfe", b'"\\ud800"', b"[" * 5_000 + b"]" * 5_000])
async def test_body_that_is_not_json(server: RunningServer, http: httpx.AsyncClient, body: bytes) -> None:
    assert_error(await http.post(f"{server.url}/api/emit", content=body, headers=BEARER), 400, "INVALID_JSON")


async def test_body_that_is_compressed_is_not_inflated(server: RunningServer, http: httpx.AsyncClient) -> None:
    headers = {**BEARER, "content-encoding": "gzip"}
    answer = await http.post(f"{server.url}/api/emit", content=gzip.compress(b"0" * 10_000_000), headers=headers)
    assert_error(answer, 400, "INVALID_JSON")
    assert "Content-Encoding" in answer.json()["message"]


async def test_body_that_is_too_large(server: RunningServer, http: httpx.AsyncClient) -> None:
    fits = json.dumps({**NOTICE, "notification": {"x": "x" * 900_000}})
    assert (await http.post(f"{server.url}/api/emit", content=fits, headers=BEARER)).status_code == 202
    large = json.dumps({**NOTICE, "notification": {"x": "x" * 1_000_000}})
    assert_error(await http.post(f"{server.url}/api/emit", content=large, headers=BEARER), 413, "TOO_LARGE")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    answer = await http.post(f"{server.url}/api/emit", content=chunks(), headers=BEARER)
    assert_error(answer, 413, "TOO_LARGE")


async def test_large_body_of_a_stranger_is_not_read(server: RunningServer, http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{server.url}/api/emit", content=b"x" * 3_000_000)
    assert_error(answer, 401, "UNAUTHORIZED")
