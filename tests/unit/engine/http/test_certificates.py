"""Certificates, before anybody connects."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from kit.network.tls import make_certificates, sign_certificate
from tradecast.engine.http.certificates import load_certificate, read_expiry, shake_hands


def test_a_certificate_says_when_it_expires(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    context = load_certificate(made.server_cert, made.server_key)
    ends = ssl.cert_time_to_seconds(read_expiry(context, made.server_cert))
    old, key = sign_certificate(tmp_path, "old", "subjectAltName=IP:127.0.0.1", days=-1)
    expired = load_certificate(old, key)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        read_expiry(expired, old)
    assert ends - ssl.cert_time_to_seconds(read_expiry(expired, old, at_any_time=True)) == pytest.approx(
        3 * 86_400, 0.1
    )


def test_a_key_with_a_password_is_refused_and_asks_nobody(tmp_path: Path) -> None:
    cert, key = str(tmp_path / "locked.pem"), str(tmp_path / "locked.key")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:planted", "-subj", "/CN=x")
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    with pytest.raises(OSError):  # noqa: PT011 what OpenSSL says of it differs
        load_certificate(cert, key)


def test_who_does_not_trust_does_not_shake_hands(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    listening = load_certificate(made.server_cert, made.server_key)
    trusting, other = ssl.create_default_context(cafile=made.ca), ssl.create_default_context()
    trusting.check_hostname = False
    assert shake_hands(listening, trusting) is not None
    with pytest.raises(ssl.SSLError):
        shake_hands(listening, other, "127.0.0.1")
