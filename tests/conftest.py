pytest_plugins = ["support.redis_server", "support.mongo_server"]
