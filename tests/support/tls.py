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

    def openssl(*arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    openssl("req", "-x509", *NEW, "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        (folder / f"{name}.ext").write_text(extension + "\n")
        openssl("req", *NEW, "-subj", f"/CN=test {name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(
            *("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
        )
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
        made = cls(folder)
        made._openssl("req", "-x509", *NEW, "-days", "2", "-subj", "/CN=fleet", "-keyout", "ca.key", "-out", "ca.pem")
        return made

    def sign(self, name: str, file: str = "server", *, days: int = 2) -> dict[str, str]:
        """The settings of a server with a new certificate for a name; one of -1 days has expired."""
        (self.folder / f"{file}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        self._openssl("req", *NEW, "-subj", "/CN=server", "-keyout", f"{file}.key", "-out", f"{file}.csr")
        self._openssl(
            *("x509", "-req", "-days", str(days), "-in", f"{file}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-extfile", f"{file}.ext", "-out", f"{file}.pem"),
        )
        files = {"cert": f"{file}.pem", "key": f"{file}.key", "ca": "ca.pem"}
        return {f"internal_{kind}_file": str(self.folder / found) for kind, found in files.items()}

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
