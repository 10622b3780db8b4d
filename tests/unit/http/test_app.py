from __future__ import annotations

import gzip

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tradecast.engine.compression.gzip import SMALLEST
from tradecast.http.app import create_app

LARGE = "x" * SMALLEST


async def large(request: Request) -> Response:
    return PlainTextResponse(LARGE, headers={"vary": "accept", "etag": 'W/"1"'})


async def small(request: Request) -> Response:
    return PlainTextResponse(LARGE[1:])


async def encoded(request: Request) -> Response:
    return Response(gzip.compress(LARGE.encode() * 5), headers={"content-encoding": "gzip"})


async def part(request: Request) -> Response:
    return PlainTextResponse(LARGE, 206, headers={"content-range": "bytes 0-1023/2000"})


async def stream(request: Request) -> Response:
    return StreamingResponse(iter([LARGE, LARGE]), media_type="text/plain")


ROUTES = [Route(f"/{one.__name__}", one) for one in (large, small, encoded, part, stream)]


async def get(path: str, *accepted: str, compress: bool = True) -> tuple[httpx.Response, bytes]:
    """The answer, and its body as it came."""
    transport = httpx.ASGITransport(create_app(ROUTES, compress=compress))
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers={}) as client:
        client.headers.pop("accept-encoding")
        headers = [("Accept-Encoding", one) for one in accepted]
        async with client.stream("GET", path, headers=headers) as answer:
            body = b"".join([chunk async for chunk in answer.aiter_raw()])
    return answer, body


async def test_large_answers_are_compressed() -> None:
    answer, body = await get("/large", "gzip, br")
    assert (answer.headers["content-encoding"], answer.headers["content-length"]) == ("gzip", str(len(body)))
    assert [part.strip().lower() for part in answer.headers["vary"].split(",")] == ["accept", "accept-encoding"]
    assert gzip.decompress(body).decode() == LARGE
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("accepted", [(), ("gzip;q=0",), ("gzip;q=0, *",), ("br",), ("gzipped",), ("identity",)])
async def test_not_for_those_who_do_not_accept_it(accepted: tuple[str, ...]) -> None:
    answer, body = await get("/large", *accepted)
    assert "content-encoding" not in answer.headers
    assert "accept-encoding" in answer.headers["vary"].lower(), "a cache must not give it to everybody"
    assert body.decode() == LARGE


@pytest.mark.parametrize("accepted", [("*",), ("br", "gzip;q=0.5"), ("deflate;q=0", "x-gzip")])
async def test_weights_and_several_headers_are_read(accepted: tuple[str, ...]) -> None:
    answer, _ = await get("/large", *accepted)
    assert answer.headers["content-encoding"] == "gzip"


async def test_small_answers_are_not() -> None:
    answer, body = await get("/small", "gzip")
    assert "content-encoding" not in answer.headers
    assert body.decode() == LARGE[1:]


async def test_answers_that_are_encoded_or_parts_are_passed_on() -> None:
    answer, body = await get("/encoded", "gzip")
    assert (answer.headers["content-encoding"], gzip.decompress(body).decode()) == ("gzip", LARGE * 5)
    answer, body = await get("/part", "gzip")
    assert ("content-encoding" in answer.headers, body.decode()) == (False, LARGE)


async def test_streams_are_compressed_piece_by_piece() -> None:
    answer, body = await get("/stream", "gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(body).decode() == LARGE * 2


async def test_switched_off() -> None:
    answer, body = await get("/large", "gzip", compress=False)
    assert ("content-encoding" in answer.headers, body.decode()) == (False, LARGE)
