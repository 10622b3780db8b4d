"""One client for Redis, Sentinel and Redis Cluster, with its scripts and errors."""
