"""What a SocketFleet asks for its servers' adapter: `spec.redisAdapter`, as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

Mode = Literal["single", "pubsub", "sharded"]
Figures = Mapping[str, float]
"""By the names that servers know them by (docs/recovery.md)."""

# The lowest and highest that servers take, by figure; a test holds them to the servers' own.
BOUNDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "history_events": (1, 1_000_000),
        "publish_batch": (1, 1_000),
        "batch_window_ms": (0, 1_000),
        "publish_buffer": (1, 1_000_000),
        "publish_timeout": (0, 600),  # above 0
        "channel_linger": (0, 3_600),
        "subscription_batch": (1, 10_000),
        "publish_both": (0, 1),
    }
)


@dataclass(frozen=True, slots=True)
class RedisSecret:
    """Where the URL is by which the operator asks Redis."""

    name: str
    key: str = "REDIS_URL"


@dataclass(frozen=True, slots=True)
class RedisAdapter:
    """How the adapter is tuned.

    Attributes:
        mode: The mode to recommend; auto: by the rules.
        apply: Whether figures are only recommended, or written for servers to take; roll: they are rolled onto the
            mode as well.
        config_map: The operator's own ConfigMap; empty: named after the fleet.
        dwell: Seconds between two changes at least.
        confirm: Seconds within which every server must have a change in force.
        roll: Seconds within which the fleet must have been rolled onto another mode.
        recovery_window: The servers' RECOVERY_WINDOW in seconds: they do not tell it.
        pinned: Figures that a person has fixed.
        redis_secret: None: Redis is not asked.
    """

    mode: Literal["auto", "single", "pubsub", "sharded"] = "auto"
    apply: Literal["recommend", "figures", "roll"] = "recommend"
    config_map: str = ""
    dwell: float = 300
    confirm: float = 180
    roll: float = 1800
    recovery_window: float = 120
    pinned: Figures = field(default_factory=dict)
    redis_secret: RedisSecret | None = None

    def config_map_of(self, fleet: str) -> str:
        """The name of the operator's own ConfigMap for this fleet."""
        return self.config_map or f"{fleet}-adapter"

    @property
    def writes(self) -> bool:
        """Whether anything is written for servers to take."""
        return self.apply != "recommend"

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> RedisAdapter:
        """Of a resource's `spec.redisAdapter`; what is missing has its default."""
        names = {
            "mode": "mode",
            "apply": "apply",
            "configMap": "config_map",
            "dwellSeconds": "dwell",
            "confirmSeconds": "confirm",
            "rollSeconds": "roll",
            "recoveryWindowSeconds": "recovery_window",
        }
        given = {ours: spec[theirs] for theirs, ours in names.items() if theirs in spec}
        secret = spec.get("redisSecret")
        return cls(
            **given,
            pinned={name: value for name, value in spec.get("pinned", {}).items() if name in BOUNDS},
            redis_secret=RedisSecret(**{key: secret[key] for key in ("name", "key") if key in secret})
            if secret
            else None,
        )
