"""Checks this machine: ports, limits and files. Nothing is served."""

from __future__ import annotations

import ssl
from typing import Final

import httpx

from tradecast.causes import Code
from tradecast.check.redis import check_expiry
from tradecast.check.report import Finding
from tradecast.config.settings import Settings
from tradecast.engine.http.certificates import load_certificate, read_expiry
from tradecast.lifecycle.open_files import Shares, raise_file_limit, read_file_limit
from tradecast.lifecycle.ports import PortInUse, bind_port, find_reachable, join_address

PATIENCE: Final = 2.0


async def check_ports(settings: Settings) -> list[Finding]:
    """Whether the ports are free. A port on which a tradecast server listens already is no error."""
    wanted = [
        ("PORT", settings.host, settings.port, settings.ssl_certfile is not None),
        ("ADMIN_PORT", settings.admin_host, settings.admin_port, False),
    ]
    if settings.forwards:
        wanted.append(("INTERNAL_PORT", settings.internal_host, settings.internal_port, False))
    findings: list[Finding] = []
    served = False
    for name, host, port, tls in wanted:
        try:
            bound = bind_port(host, port, 1, name)
        except PortInUse as error:
            # the internal port answers nobody who does not sign
            served = (served and name == "INTERNAL_PORT") or await _is_tradecast(host, port, tls=tls)
            if served:
                findings.append(Finding(name, "ok", f"a tradecast server already listens on port {port}"))
                continue
            remedy = f"Stop what listens there, or choose another {name}; ports below 1024 need a privilege"
            findings.append(Finding(name, "error", f"{str(error)[0].upper()}{str(error)[1:]}", remedy))
            continue
        for one in bound:
            one.close()
        findings.append(Finding(name, "ok", f"port {port} is free" if port else "any free port"))
    return findings


def check_files(settings: Settings) -> list[Finding]:
    """Whether the limit on open files allows MAX_CONNECTIONS, and whether certificates are valid."""
    raise_file_limit()
    limit = read_file_limit()
    shares = Shares.of(limit, settings.most_tcp_connections, internal=settings.forwards)
    needed = settings.max_tcp_connections or settings.max_connections
    if shares.clients < needed:
        message = f"this process may open {limit} files: room for {shares.clients} connections of {needed}"
        remedy = "Raise the limit (`ulimit -n`, LimitNOFILE of systemd), or lower MAX_CONNECTIONS"
        findings = [Finding("open files", "warning", message, remedy)]
    else:
        findings = [Finding("open files", "ok", f"enough for MAX_CONNECTIONS={settings.max_connections}")]
    if settings.ssl_certfile is not None and settings.ssl_keyfile is not None:
        findings.append(_check_pair("SSL_CERTFILE", settings.ssl_certfile, settings.ssl_keyfile))
    if settings.redis_cert_file is not None:
        findings.append(_check_pair("REDIS_CERT_FILE", settings.redis_cert_file, settings.redis_key_file))
    for name, file in (("REDIS_CA_FILE", settings.redis_ca_file), ("MONGODB_CA_FILE", settings.mongodb_ca_file)):
        if file is not None:
            findings.append(_check_authorities(name, file))
    return findings


def _check_pair(name: str, certificate: str, key: str | None) -> Finding:
    try:
        context = load_certificate(certificate, key)
    except (OSError, ValueError):  # an SSLError is one, and its text helps nobody
        key_name = name.replace("CERTFILE", "KEYFILE").replace("CERT_FILE", "KEY_FILE")
        message = f"{name} and {key_name} are not a PEM certificate and its key"
        return Finding(name, "error", message, "Set both to files that belong together")
    try:
        ends = read_expiry(context, certificate)
    except ssl.SSLCertVerificationError as error:
        if "expired" in error.verify_message:
            code = str(Code.TLS_CERTIFICATE_EXPIRED)
            return Finding(name, "error", f"The certificate {certificate} has expired", "Renew it", code)
        if "not yet valid" in error.verify_message:
            remedy = "Check this machine's clock"
            return Finding(name, "error", f"The certificate {certificate} is not valid yet", remedy)
        return Finding(name, "ok", "certificate and key belong together")
    except (OSError, ValueError):
        return Finding(name, "ok", "certificate and key belong together")
    return check_expiry(name, f"The certificate {certificate}", ends)


def _check_authorities(name: str, file: str) -> Finding:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(file)
    except (OSError, ValueError):
        remedy = "Set it to the file with the authority's certificate"
        return Finding(name, "error", f"{file} contains no PEM certificates", remedy)
    ends = [str(one["notAfter"]) for one in context.get_ca_certs() if "notAfter" in one]
    if not ends:
        return Finding(name, "ok", "can be read")
    last = max(ends, key=ssl.cert_time_to_seconds)
    return check_expiry(name, f"The authority's certificate in {file}", last)


async def _is_tradecast(host: str, port: int, *, tls: bool) -> bool:
    url = f"{'https' if tls else 'http'}://{join_address(find_reachable(host), port)}/health"
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE, verify=False) as http:  # noqa: S501 itself
            answer = (await http.get(url)).json()
    except (httpx.HTTPError, ValueError):
        return False
    return isinstance(answer, dict) and answer.get("status") == "up" and "uptime" in answer
