"""What all tests have: the kit's fixtures, and logging as a server configures it."""

from __future__ import annotations

from tradecast.observability.logs import configure_logging

pytest_plugins = [
    "support.browser",
    "support.express",
    "support.redis_server",
    "support.redis_cluster",
    "support.mongo_server",
    "support.node_client",
    "support.patience",
    "support.prometheus",
    "support.properties",
    "support.python_client",
    "support.server",
    "support.workers",
]


def pytest_configure() -> None:
    # The first server would do it: what a test finds in the log does not depend on which ran before.
    configure_logging("info", "json")
