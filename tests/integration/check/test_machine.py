"""`tradecast check` of this machine: ports and certificates."""

from __future__ import annotations

import socket
from pathlib import Path

from integration.check.checking import check, errors, named
from kit.network.tls import make_certificates, sign_certificate
from kit.servers.process import serving


async def test_a_port_that_is_taken_and_one_that_a_server_of_ours_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        report = await check(HOST="127.0.0.1", PORT=port)
        assert [finding.name for finding in errors(report)] == ["PORT"]
        assert f"127.0.0.1:{port}" in errors(report)[0].message
    async with serving() as server:
        port = server.url.rpartition(":")[2]
        report = await check(HOST="127.0.0.1", PORT=port)
        assert named(report, "PORT").message == f"a tradecast server already listens on port {port}"


async def test_certificates_of_our_own(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    good = await check(SSL_CERTFILE=made.server_cert, SSL_KEYFILE=made.server_key)
    assert (named(good, "SSL_CERTFILE").state, "days" in named(good, "SSL_CERTFILE").message) == ("warning", True)
    old = sign_certificate(tmp_path, "old", "subjectAltName=IP:127.0.0.1", -1)
    expired = await check(SSL_CERTFILE=old[0], SSL_KEYFILE=old[1])
    assert errors(expired)[0].cause == "tls_certificate_expired"
    other = await check(SSL_CERTFILE=made.server_cert, SSL_KEYFILE=made.client_key)
    assert "SSL_CERTFILE and SSL_KEYFILE" in errors(other)[0].message
    long = sign_certificate(tmp_path, "long", "subjectAltName=IP:127.0.0.1", 60)
    assert named(await check(SSL_CERTFILE=long[0], SSL_KEYFILE=long[1]), "SSL_CERTFILE").state == "ok"
