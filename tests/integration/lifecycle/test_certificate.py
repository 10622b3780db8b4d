"""A renewed certificate is served without a restart, by a real port."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from kit.network.tls import Certificates, make_certificates, sign_certificate
from kit.waiting import eventually
from tradecast.lifecycle import certificate
from tradecast.lifecycle.process import Listener, Process, ProcessHooks


async def serve(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Nobody asks: what counts is the handshake."""


@pytest.fixture
def pem(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
async def port(pem: Certificates, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(certificate, "LOOK_EVERY", 0.02)
    listener = Listener("public", serve, "127.0.0.1", 0, certfile=pem.server_cert, keyfile=pem.server_key)
    process = Process([listener], ProcessHooks(), grace=1)
    await process.start()
    yield process.ports["public"]
    await process.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "certificate public"]


async def presented(port: int, pem: Certificates) -> bytes:
    """The certificate that a new connection gets; it verifies."""
    context = ssl.create_default_context(cafile=pem.ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


async def presented_after(before: bytes, port: int, pem: Certificates) -> bytes:
    """The certificate that takes the place of another one."""
    async with asyncio.timeout(20):
        while (now := await presented(port, pem)) == before:  # noqa: ASYNC110 nothing tells of it but a handshake
            await asyncio.sleep(0.02)
    return now


async def test_a_renewed_certificate_is_served_from_then_on(port: int, pem: Certificates, tmp_path: Path) -> None:
    before = await presented(port, pem)
    new = sign_certificate(tmp_path, "renewed", "subjectAltName=IP:127.0.0.1")
    wanted = ssl.PEM_cert_to_DER_cert((tmp_path / "renewed.pem").read_text())
    # As Kubernetes does it: another file is in its place, with the key of it.
    for source, target in zip(new, (pem.server_cert, pem.server_key), strict=True):
        shutil.move(source, target)
    assert await presented_after(before, port, pem) == wanted


async def test_a_certificate_without_its_key_is_logged_and_not_served(
    port: int, pem: Certificates, tmp_path: Path
) -> None:
    before = await presented(port, pem)
    with capture_logs() as logs:
        cert, key = sign_certificate(tmp_path, "renewed", "subjectAltName=IP:127.0.0.1")
        shutil.move(cert, pem.server_cert)
        await eventually(lambda: [one["port"] for one in logs if one["log_level"] == "error"] == ["public"])
    assert await presented(port, pem) == before
    shutil.move(key, pem.server_key)
    assert await presented_after(before, port, pem) != before


async def test_files_that_are_gone_change_nothing(port: int, pem: Certificates) -> None:
    before = await presented(port, pem)
    with capture_logs() as logs:
        await asyncio.to_thread(Path(pem.server_cert).unlink)
        await eventually(lambda: bool(logs))
    assert await presented(port, pem) == before
