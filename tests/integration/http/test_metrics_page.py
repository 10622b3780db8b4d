"""`/metrics` on both ports."""

from __future__ import annotations

import httpx

from integration.http.answers import assert_error
from kit.servers.in_process import MakeServer, RunningServer


async def test_metrics_on_both_ports(server: RunningServer, http: httpx.AsyncClient) -> None:
    for base in (server.url, server.admin_url):
        text = await http.get(f"{base}/metrics")
        assert text.status_code == 200
        assert text.headers["content-type"].startswith("text/plain")
        assert text.headers["vary"].lower() == "accept, accept-encoding"
        figures = await http.get(f"{base}/metrics", headers={"accept": "application/json"})
        assert figures.headers["content-type"] == "application/json"
        assert isinstance(figures.json(), dict)


async def test_metrics_off_on_the_public_port(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(metrics_public=False)
    assert_error(await http.get(f"{server.url}/metrics"), 404, "NOT_FOUND")
    assert (await http.get(f"{server.admin_url}/metrics")).status_code == 200
