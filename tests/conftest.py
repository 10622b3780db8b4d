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
