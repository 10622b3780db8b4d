"""Redis Sentinels for tests."""

from __future__ import annotations

from kit.servers.redis_server import RedisServer

SERVICE = "mymaster"


class SentinelServer(RedisServer):
    """One Sentinel that watches one master alone (quorum 1) and gives up on it after half a second.

    Args:
        master_port: Where the master is, on loopback.
        directives: Further lines of its configuration.
    """

    def __init__(self, master_port: int, *directives: str) -> None:
        super().__init__()
        self._master_port = master_port
        self._directives = directives

    def command(self) -> list[str]:
        configuration = self.folder / "sentinel.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"unixsocket {self.folder / 'redis.sock'}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._master_port} 1",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
            *self._directives,
        ]
        configuration.write_text("\n".join(lines) + "\n")
        return [self.program, str(configuration), "--sentinel"]
