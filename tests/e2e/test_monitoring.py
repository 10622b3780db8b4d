"""What a real Prometheus makes of a fleet under load."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request

import pytest

from e2e.conftest import PROMETHEUS_URL
from e2e.crowd import Crowd
from e2e.kube import Namespace
from e2e.outside import URL, Numbers, Prices, make_sessions
from kit.metrics.dashboards import Variables, all_queries, still_without_data
from kit.servers.prometheus import ask
from kit.waiting import wait_until


@pytest.mark.timeout(600)
def test_every_panel_has_data_and_no_alert_fires(monitored: Namespace) -> None:
    pods = {pod["metadata"]["name"] for pod in monitored.servers(ready=True)}
    wait_until(lambda: set(ask(PROMETHEUS_URL, "label/pod/values")) >= pods, what="both servers are scraped")
    begun = time.time()
    # This release has no operator and no certificates; tests/integration asks for the operator's row.
    asked = [
        query
        for query in all_queries()
        if not (query.needs_kube_state_metrics or query.is_of_operator or query.needs_tls)
    ]
    variables = Variables(monitored.name, f"{monitored.name}/tradecast", rate_interval="10s")
    with Crowd(URL) as crowd, Numbers(), Prices():
        # Some come and some go while all is scraped: a rate needs two readings.
        crowd.add(make_sessions(120), per_second=10)
        wait_until(lambda: crowd.report().subscribed == 120, what="120 clients")
        crowd.leave(20)
        wait_until(lambda: crowd.report().connected == 100, what="100 clients")
        look = still_without_data(PROMETHEUS_URL, asked, variables, since=begun, within=60, step=2)
        assert [str(query) for query in asyncio.run(look)] == []

        connections = f'sum(tradecast_connections{{namespace="{monitored.name}"}})'
        answer = wait_until(
            lambda: [
                one for one in ask(PROMETHEUS_URL, "query", query=connections)["result"] if one["value"][1] == "100"
            ],
            what="Prometheus counts 100 connections",
        )
        assert len(answer) == 1

    rules = [rule for group in ask(PROMETHEUS_URL, "rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 20
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []


def test_probes_and_metrics_are_apart(fleet: Namespace) -> None:
    """Metrics and the admin API are on a port that the public Service does not have."""
    service = fleet.one("service", "tradecast")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    with urllib.request.urlopen(f"{URL}/health", timeout=10) as answer:  # noqa: S310 a test's own address
        assert json.load(answer)["status"] == "up"
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{URL}/admin/stats", timeout=10)  # noqa: S310 the same
    refused.value.close()
