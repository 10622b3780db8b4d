"""What all tests have: the kit's fixtures, and logging as a server configures it."""

from __future__ import annotations

from tradecast.observability.logs import configure_logging

pytest_plugins = [
    "kit.browser",
    "kit.express",
    "kit.redis_server",
    "kit.redis_cluster",
    "kit.mongo_server",
    "kit.node_client",
    "kit.patience",
    "kit.prometheus",
    "kit.properties",
    "kit.python_client",
    "kit.server",
    "kit.workers",
]


def pytest_configure() -> None:
    # The first server would do it: what a test finds in the log does not depend on which ran before.
    configure_logging("info", "json")
