"""Certificates for tests, made by the openssl command: an authority, a server and a client."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
HOW_TO_GET_OPENSSL = "openssl is not installed: apt-get install openssl"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files."""

    ca: str
    server_cert: str
    server_key: str
    client_cert: str
    client_key: str


def make_certificates(folder: Path) -> Certificates:
    """An authority, and certificates of a server at 127.0.0.1 and of a client that it signed; good for two days."""
    if shutil.which("openssl") is None:
        pytest.skip(HOW_TO_GET_OPENSSL)

    _make_authority(folder)
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        sign_certificate(folder, name, extension)
    files = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Certificates(*(str(folder / name) for name in files))


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority of a fleet's own, which signs certificates for its servers' internal ports."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """A new one."""
        if shutil.which("openssl") is None:
            pytest.skip(HOW_TO_GET_OPENSSL)
        folder.mkdir(parents=True, exist_ok=True)
        _make_authority(folder)
        return cls(folder)

    def sign(self, name: str, file: str = "server", *, days: int = 2) -> dict[str, str]:
        """The settings of a server with a new certificate for a name; one of -1 days has expired."""
        certificate, key = sign_certificate(self.folder, file, f"subjectAltName=DNS:{name}", days)
        return {
            "internal_cert_file": certificate,
            "internal_key_file": key,
            "internal_ca_file": str(self.folder / "ca.pem"),
        }


def sign_certificate(folder: Path, name: str, extension: str, days: int = 2) -> tuple[str, str]:
    """One more certificate of the authority that `make_certificates` made there; its file, and that of its key.

    Args:
        folder: Where.
        name: Of the files, and the subject.
        extension: A line of OpenSSL's extension file.
        days: How long it is good; -1: it has ended a day ago.
    """
    (folder / f"{name}.ext").write_text(extension + "\n")
    _openssl(folder, "req", *NEW, "-subj", f"/CN=test {name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    _openssl(
        folder,
        *("x509", "-req", "-days", str(days), "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
    )
    return str(folder / f"{name}.pem"), str(folder / f"{name}.key")


def _make_authority(folder: Path) -> None:
    _openssl(
        folder,
        *("req", "-x509", *NEW, "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
