"""One request to a pod that may be anybody's; more of what pods answer is in tests/operator/test_hostile_pods.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.kubernetes.hostile_pods import HostilePods, answering, hostile_pods
from tradecast_operator.clients.pod_http import LARGEST, LARGEST_HEAD, AnswerInvalid, PodClient


@pytest.fixture
async def pods() -> AsyncIterator[HostilePods]:
    async with hostile_pods() as pods:
        yield pods


async def test_what_is_sent_and_what_comes_back(pods: HostilePods) -> None:
    address = pods.add(answering({"a": 1}, "X-One: 1\r\nX-ONE: 2\r\n", "202 Accepted"))
    answer = await PodClient().request("POST", address, pods.port, "/path?query", {"authorization": "x"}, b"{}")
    assert (answer.status, answer.headers["x-one"], answer.body) == (202, "2", b'{"a": 1}')
    (head,) = pods.heads[address]
    assert head.split("\r\n") == [
        "POST /path?query HTTP/1.1",
        f"host: {address}:{pods.port}",
        *("connection: close", "authorization: x", "content-length: 2"),
        *("accept: application/json", "accept-encoding: identity", "user-agent: tradecast-operator", "", ""),
    ]


@pytest.mark.parametrize(
    ("written", "body"),
    [
        (b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"{}"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["announced", "in chunks", "until the end", "nothing"],
)
async def test_all_forms_of_an_answer_are_read(pods: HostilePods, written: bytes, body: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(written)
        await writer.drain()

    found = await PodClient().request("GET", pods.add(answer), pods.port, "/", {})
    assert found.body == body


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        ("Content-Encoding: gzip\r\n", "x", "compressed"),
        (f"X: {'y' * LARGEST_HEAD}\r\n", "x", "its head has more than"),
        ("", "x" * (LARGEST + 1), "it has more than"),
        (
            "Transfer-Encoding: chunked\r\n",
            f"{LARGEST + 1:x}\r\n{'x' * (LARGEST + 1)}\r\n0\r\n\r\n",
            "it has more than",
        ),
        ("Transfer-Encoding: chunked\r\n", "no chunk", "no HTTP"),
    ],
)
async def test_what_is_not_read(pods: HostilePods, head: str, body: str, why: str) -> None:
    address = pods.add(answering(body, head))
    with pytest.raises(AnswerInvalid, match=why):
        await PodClient().request("GET", address, pods.port, "/", {})


async def test_an_answer_that_ends_early(pods: HostilePods) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}")
        await writer.drain()

    with pytest.raises(ConnectionError):
        await PodClient().request("GET", pods.add(answer), pods.port, "/", {})


@pytest.mark.parametrize("address", ["localhost", "", "127.1", "127.0.0.1/x", "fe80::1%lo", "[::1]"])
async def test_what_is_no_address_is_not_looked_up(address: str) -> None:
    with pytest.raises(AnswerInvalid, match="its address"):
        await PodClient().request("GET", address, 1, "/", {})
