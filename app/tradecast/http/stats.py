"""What `/admin/stats` shows of a server: the values of `/metrics`, and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tradecast.cluster_rpc import Cluster
from tradecast.config.settings import Settings, Transport
from tradecast.delivery.broker import Broker
from tradecast.lifecycle.draining.drain import Drain
from tradecast.limits.limiter import RateLimiter
from tradecast.observability.health import OTHER_REDIS, Health
from tradecast.polling_relay.relay_service import RelayService
from tradecast.runtime_config.manager import RuntimeConfig


class StatsMetrics(Protocol):
    """The metrics that `/admin/stats` has too."""

    def render_json(self) -> dict[str, Any]: ...
    def outcomes(self) -> dict[str, int]: ...


class TrafficMetrics(Protocol):
    """What passes between this server and Redis."""

    def adapter_traffic(self) -> dict[str, Any]: ...
    def published_to_other(self) -> dict[str, int]: ...


class RolloutState(Protocol):
    """Whether new clients should go to newer servers."""

    def is_superseded(self) -> bool: ...


class PollingState(Protocol):
    """Whether new clients can start with polling now."""

    def is_offered(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Reads the state of a server from its parts."""

    settings: Settings
    metrics: StatsMetrics
    traffic: TrafficMetrics
    health: Health
    limiter: RateLimiter
    broker: Broker
    runtime_config: RuntimeConfig
    cluster: Cluster
    relay: RelayService | None
    drain: Drain
    rollout: RolloutState
    polling: PollingState

    def read(self) -> dict[str, Any]:
        """The body of `/admin/stats`."""
        relay = self.relay
        return {
            **self.metrics.render_json(),
            "server": {
                "mode": self.settings.mode,
                "sessionStore": self.settings.store_name,
                "transports": self._transports(),
                "draining": self.drain.active,
                "limiterFallback": self.limiter.fallen_back,
            },
            "outcomes": self.metrics.outcomes(),
            "adapter": self._adapter(),
            "drain": self.drain.stats(),
            "fleet": {
                "pod": self.settings.pod_name,
                "revision": self.settings.fleet_revision,
                "superseded": self.rollout.is_superseded(),
                "servers": self.cluster.servers,
                "connections": self.cluster.connections,
            },
            "forwarding": {
                "active": relay is not None,
                "servers": relay.servers if relay is not None else 0,
                "relayedWebSockets": len(relay.relays) if relay is not None else 0,
            },
        }

    def _transports(self) -> list[Transport]:
        polled = self.polling.is_offered()
        return [one for one in self.settings.offered_transports if one != "polling" or polled]

    def _adapter(self) -> dict[str, Any]:
        return {
            "mode": self.settings.mode,
            "modes": list(self.settings.modes),
            "other": self._other(),
            **self.runtime_config.stats(),
            "traffic": {
                **self.traffic.adapter_traffic(),
                "waiting": self.broker.waiting,
                "channels": self.broker.channels,
                "hears": None if self.broker.is_local else self.broker.is_subscribed,
                "awaySeconds": round(self.broker.unreachable_for, 3),
            },
        }

    def _other(self) -> dict[str, Any] | None:
        other = self.broker.other
        if other is None:
            return None
        return {
            "mode": self.settings.other_mode,
            "up": self.health.is_up(OTHER_REDIS),
            "waiting": other.waiting,
            "published": self.traffic.published_to_other(),
        }
