"""`tradecast serve` as a service that belongs to no event loop, so that a module's tests share it."""

from __future__ import annotations

import sys
from typing import Any

import httpx

from kit.network.ports import free_port
from kit.processes.service import ServiceProcess
from kit.servers.process import environment

HOST = "127.0.0.1"


class ServeService(ServiceProcess):
    """One server, on loopback ports that stay.

    Args:
        variables: Its settings.
    """

    def __init__(self, **variables: str) -> None:
        super().__init__(sys.executable)
        self.admin_port = free_port()
        self._http = httpx.Client(trust_env=False, timeout=30)
        ports = {"HOST": HOST, "PORT": str(self.port), "ADMIN_HOST": HOST, "ADMIN_PORT": str(self.admin_port)}
        self._variables = {**ports, "INTERNAL_HOST": HOST, "INTERNAL_PORT": "0", **variables}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://{HOST}:{self.admin_port}"

    def command(self) -> list[str]:
        # Settings are of this server, not of the process that starts it.
        variables = {**environment(), **self._variables}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        return ["/usr/bin/env", "-i", *assignments, self.program, "-m", "tradecast", "serve"]

    def answers(self) -> bool:
        return self._request("GET", f"{self.url}/health").is_success

    def make_session(self, user: str, tier: str = "premium") -> dict[str, str]:
        """A new session: what a client passes as `auth`."""
        body = {"userId": user, "tier": tier, "maxAge": 86_400}
        made = self._request("POST", f"{self.admin_url}/admin/sessions", json=body).raise_for_status().json()
        return {"sessionID": made["sessionID"], "userId": made["userId"]}

    def read_metrics(self) -> dict[str, float]:
        """Every sample of `/metrics` now, by name and labels as they are written there."""
        lines = self._request("GET", f"{self.admin_url}/metrics").raise_for_status().text.splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def _request(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, **options)
        except httpx.TransportError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        super().close()
        self._http.close()
