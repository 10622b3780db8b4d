"""What all tests have: the kit's fixtures, and logging as a server configures it."""

from __future__ import annotations

from tradecast.observability.logs import configure_logging

pytest_plugins = [
    "kit.clients.browser",
    "kit.servers.express",
    "kit.servers.redis_server",
    "kit.servers.redis_cluster",
    "kit.servers.mongo_server",
    "kit.clients.node",
    "kit.pytest_plugins.patience",
    "kit.servers.prometheus",
    "kit.parsing.properties",
    "kit.clients.python",
    "kit.servers.in_process",
    "kit.pytest_plugins.workers",
]


def pytest_configure() -> None:
    # The first server would do it: what a test finds in the log does not depend on which ran before.
    configure_logging("info", "json")
