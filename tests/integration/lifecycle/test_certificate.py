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
from kit.servers.in_process import MakeServer
from kit.waiting import eventually
from tradecast.config.settings import SettingsError, load_settings
from tradecast.lifecycle import certificate
from tradecast.lifecycle.certificate import RenewedCertificate, load_public_certificate
from tradecast.lifecycle.process import Listener, Process, ProcessHooks


async def serve(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Nobody asks: what counts is the handshake."""


@pytest.fixture
def pem(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
async def served(pem: Certificates, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RenewedCertificate]:
    monkeypatch.setattr(certificate, "POLL_EVERY", 0.02)
    made = load_public_certificate(load_settings({}, ssl_certfile=pem.server_cert, ssl_keyfile=pem.server_key))
    assert made is not None
    following = asyncio.ensure_future(made.run())
    yield made
    following.cancel()


@pytest.fixture
async def port(served: RenewedCertificate) -> AsyncIterator[int]:
    process = Process([Listener("public", serve, "127.0.0.1", 0, tls=served)], ProcessHooks(), grace=1)
    await process.start()
    yield process.ports["public"]
    await process.stop()


async def presented(port: int, pem: Certificates) -> bytes:
    """The certificate that a new connection gets; it verifies."""
    context = ssl.create_default_context(cafile=pem.ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()  # at once: the goodbye of TLS could outlast the test
    return found


async def presented_after(before: bytes, port: int, pem: Certificates) -> bytes:
    """The certificate that takes the place of another one."""
    async with asyncio.timeout(20):
        while (now := await presented(port, pem)) == before:  # noqa: ASYNC110 nothing tells of it but a handshake
            await asyncio.sleep(0.02)
    return now


async def test_a_renewed_certificate_is_served_from_then_on(
    served: RenewedCertificate, port: int, pem: Certificates, tmp_path: Path
) -> None:
    before = await presented(port, pem)
    assert served.seconds_left == pytest.approx(2 * 86_400, abs=600)
    new = sign_certificate(tmp_path, "renewed", "subjectAltName=IP:127.0.0.1", days=30)
    wanted = ssl.PEM_cert_to_DER_cert((tmp_path / "renewed.pem").read_text())
    # As Kubernetes does it: another file is in its place, with the key of it.
    for source, target in zip(new, (pem.server_cert, pem.server_key), strict=True):
        shutil.move(source, target)
    assert await presented_after(before, port, pem) == wanted
    assert served.seconds_left == pytest.approx(30 * 86_400, abs=600)
    assert served.lifetime == pytest.approx(30 * 86_400, abs=600)
    assert not served.is_stale


async def test_a_connection_of_before_stays(port: int, pem: Certificates, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=pem.ca)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    before = await presented(port, pem)
    for source, target in zip(
        sign_certificate(tmp_path, "renewed", "subjectAltName=IP:127.0.0.1"),
        (pem.server_cert, pem.server_key),
        strict=True,
    ):
        shutil.move(source, target)
    await presented_after(before, port, pem)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 ")
    writer.transport.abort()


async def test_a_certificate_without_its_key_is_logged_and_not_served(
    served: RenewedCertificate, port: int, pem: Certificates, tmp_path: Path
) -> None:
    before = await presented(port, pem)
    with capture_logs() as logs:
        cert, key = sign_certificate(tmp_path, "renewed", "subjectAltName=IP:127.0.0.1")
        shutil.move(cert, pem.server_cert)
        await eventually(lambda: served.is_stale)
        await asyncio.sleep(0.2)  # some more looks
    assert [(one["log_level"], one["why"]) for one in logs] == [("error", "the key is that of another certificate")]
    assert await presented(port, pem) == before
    shutil.move(key, pem.server_key)
    assert await presented_after(before, port, pem) != before
    assert not served.is_stale


async def test_files_that_are_gone_change_nothing(
    served: RenewedCertificate, port: int, pem: Certificates, tmp_path: Path
) -> None:
    before = await presented(port, pem)
    kept = tmp_path / "kept.pem"
    with capture_logs() as logs:
        shutil.move(pem.server_cert, kept)
        await eventually(lambda: served.is_stale)
    assert [one["why"] for one in logs] == ["a file is missing"]
    assert await presented(port, pem) == before
    assert served.seconds_left is not None
    shutil.move(kept, pem.server_cert)
    await eventually(lambda: not served.is_stale)


def test_files_that_can_be_read_again_are_tried_again(pem: Certificates, tmp_path: Path) -> None:
    """What failed may have been a moment between two files that are swapped: no file changes after that."""
    made = RenewedCertificate(pem.server_cert, pem.server_key)
    before = made.listening
    cert, key = sign_certificate(tmp_path, "renewed", "subjectAltName=IP:127.0.0.1")
    shutil.move(cert, pem.server_cert)
    shutil.move(key, pem.server_key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "load_certificate", _fail)
        for _ in range(3):
            made.poll()
    stale = [made.is_stale]
    assert made.listening is before
    made.poll()
    assert [*stale, made.is_stale] == [True, False]
    assert made.listening is not before


def _fail(*files: object) -> ssl.SSLContext:
    raise OSError("between two files")


def test_bad_files_stop_the_start(pem: Certificates) -> None:
    for files in ((pem.server_cert, pem.client_key), (__file__, __file__), (pem.server_key, pem.ca)):
        with pytest.raises(SettingsError, match="SSL_CERTFILE"):
            RenewedCertificate(*files)
    assert load_public_certificate(load_settings({})) is None


def test_an_expired_certificate_says_since_when(pem: Certificates, tmp_path: Path) -> None:
    made = RenewedCertificate(*sign_certificate(tmp_path, "old", "subjectAltName=IP:127.0.0.1", days=-1))
    assert made.seconds_left == pytest.approx(-86_400, abs=600)


async def test_metrics_tell_when_certificates_expire(make_server: MakeServer, pem: Certificates) -> None:
    server = await make_server(ssl_certfile=pem.server_cert, ssl_keyfile=pem.server_key)
    left = server.app.metrics.registry.get_sample_value("tradecast_certificate_expiry_seconds", {"port": "public"})
    assert left == pytest.approx(2 * 86_400, abs=600)
    assert server.app.metrics.registry.get_sample_value("tradecast_certificate_stale", {"port": "public"}) == 0
