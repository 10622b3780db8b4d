"""`spec.redisAdapter` of a SocketFleet, as typed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from tradecast_operator.model.answers import read_field, read_name, read_number, read_object

Mode = Literal["single", "pubsub", "sharded"]
Apply = Literal["recommend", "figures", "roll"]
AdapterSettings = Mapping[str, float]
"""Values by setting, under the names that servers use (docs/adapter-settings.md)."""
# The setting by which servers publish every event for the servers of another mode as well.
PUBLISH_BOTH: Final = "publish_both"

# The lowest and highest values that servers accept, by setting; a test compares them with the servers' own.
BOUNDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "history_events": (1, 1_000_000),
        "publish_batch": (1, 1_000),
        "batch_window_ms": (0, 1_000),
        "publish_buffer": (1, 1_000_000),
        "publish_timeout": (0, 600),  # above 0
        "channel_linger": (0, 3_600),
        "subscription_batch": (1, 10_000),
        PUBLISH_BOTH: (0, 1),
    }
)


@dataclass(frozen=True, slots=True)
class RedisSecret:
    """The Secret with the URL by which the operator asks Redis for INFO."""

    name: str
    key: str = "REDIS_URL"


@dataclass(frozen=True, slots=True)
class RedisAdapter:
    """How the adapter is tuned.

    Attributes:
        mode: The mode to recommend; auto: the rules choose one.
        apply: recommend: only report better settings; figures: write them to the ConfigMap, where servers read them;
            roll: also roll the fleet onto the recommended mode.
        config_map: The operator's own ConfigMap; empty: named after the fleet.
        dwell: Minimum seconds between two changes.
        confirm: Seconds within which a change must be in effect at every server.
        roll: Seconds within which a rollout onto another mode must be complete.
        recovery_window: The servers' RECOVERY_WINDOW in seconds, which they do not report.
        pinned: Settings with a fixed value.
        redis_secret: None: the operator does not ask Redis.
    """

    mode: Literal["auto", "single", "pubsub", "sharded"] = "auto"
    apply: Apply = "recommend"
    config_map: str = ""
    dwell: float = 300
    confirm: float = 180
    roll: float = 1800
    recovery_window: float = 120
    pinned: AdapterSettings = field(default_factory=dict)
    redis_secret: RedisSecret | None = None

    def config_map_of(self, fleet: str) -> str:
        """The name of the operator's own ConfigMap for this fleet."""
        return self.config_map or f"{fleet}-adapter"

    @property
    def writes(self) -> bool:
        """Whether the operator writes settings for the servers."""
        return self.apply != "recommend"

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> RedisAdapter:
        """Parse a resource's `spec.redisAdapter`; what is missing has its default. Raises ValueError."""
        seconds = {
            "dwellSeconds": "dwell",
            "confirmSeconds": "confirm",
            "rollSeconds": "roll",
            "recoveryWindowSeconds": "recovery_window",
        }
        readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
            **{theirs: (ours, _read_seconds) for theirs, ours in seconds.items()},
            "mode": ("mode", lambda value: _one_of(value, ("auto", *get_args(Mode)))),
            "apply": ("apply", lambda value: _one_of(value, get_args(Apply))),
            "configMap": ("config_map", lambda value: value and read_name(value)),
            "redisSecret": ("redis_secret", lambda value: value and _read_secret(read_object(value))),
            "pinned": ("pinned", _read_pinned),
        }
        given = {ours: read_field(spec, theirs, read) for theirs, (ours, read) in readers.items() if theirs in spec}
        return cls(**given)


def _read_seconds(value: Any) -> float:
    return read_number(value, 0, 86_400)


def _read_pinned(value: Any) -> AdapterSettings:
    pinned = {}
    for name, given in read_object(value).items():
        if name in BOUNDS:
            try:
                pinned[name] = read_number(given, *BOUNDS[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    return pinned


def _read_secret(data: Mapping[str, Any]) -> RedisSecret:
    return RedisSecret(**{name: read_field({"key": "REDIS_URL", **data}, name, read_name) for name in ("name", "key")})


def _one_of(value: Any, known: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in known:
        raise ValueError("no such choice")
    return value
