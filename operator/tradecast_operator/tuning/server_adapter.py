"""What a server reports of its adapter in `GET /admin/stats`, read and checked. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from tradecast_operator.model.adapter_spec import BOUNDS, PUBLISH_BOTH, AdapterSettings, Mode
from tradecast_operator.model.answers import read_boolean, read_integer, read_number, read_object, read_text
from tradecast_operator.model.observation import Pod

# Upper bounds of a server's values, of the characters of a revision and of an error.
MOST: Final = 1_000_000_000
LONGEST_REVISION: Final = 100
LONGEST_ERROR: Final = 300


@dataclass(frozen=True, slots=True)
class ServerAdapter:
    """A server's adapter.

    Attributes:
        pod: The pod's name.
        mode: The mode that the server is in.
        settings: The settings in effect.
        defaults: Those of them that come from the server's environment.
        revision: Of the ConfigMap's content that is in effect; None: of none.
        seen_revision: Of the content that the server read last.
        error: Why the server refused that content; empty: it did not.
        publish_rate: Events per second that Redis accepted from the server.
        queued: Events that are queued for Redis.
        channels: Rooms that the server is subscribed to.
        isolated_seconds: Seconds for which the server has not received other servers' events.
        modes: The modes that its Redis URLs allow; empty: the server does not report them.
        other_redis_up: Whether the Redis of the mode that it is not in answers; None: there is none, or it has not been
            asked yet.
        other_redis_failed: Events that this Redis did not accept, or perhaps not, since the server started.
    """

    pod: str
    mode: Mode
    settings: AdapterSettings
    defaults: AdapterSettings = field(default_factory=dict)
    revision: str | None = None
    seen_revision: str | None = None
    error: str = ""
    publish_rate: float = 0
    queued: int = 0
    channels: int = 0
    isolated_seconds: float = 0
    modes: tuple[str, ...] = ()
    other_redis_up: bool | None = None
    other_redis_failed: int = 0


def read_adapter(pod: Pod) -> ServerAdapter | None:
    """What a pod's server reports; None if it reports nothing, or nothing that this version understands."""
    data = pod.stats.adapter if pod.stats is not None else None
    try:
        return _parse_server(pod.name, data)
    except (KeyError, ValueError):
        return None


def read_mode(data: Any) -> Mode | None:
    """The mode that a server reports of its adapter; None: it reports none."""
    mode = data.get("mode") if isinstance(data, dict) else None
    return next((known for known in get_args(Mode) if known == mode), None)


def _parse_server(pod: str, data: Any) -> ServerAdapter | None:
    if data is None:
        return None
    data, traffic = read_object(data), read_object(data["traffic"])
    # Servers of earlier versions do not know this setting.
    source = {PUBLISH_BOTH: "settings", **read_object(data["source"])}
    in_effect = {PUBLISH_BOTH: 0, **read_object(data["inForce"])}
    mode = read_mode(data)
    if mode is None:
        raise ValueError("no such mode")
    settings = {name: _read_number(in_effect[name], *BOUNDS[name]) for name in BOUNDS}
    other = None if data.get("other") is None else read_object(data["other"])
    published = read_object((other or {}).get("published") or {})
    return ServerAdapter(
        pod=pod,
        mode=mode,
        settings=settings,
        defaults={name: value for name, value in settings.items() if source[name] == "settings"},
        revision=None if data["revision"] is None else read_text(data["revision"], LONGEST_REVISION),
        seen_revision=None if data["seen"] is None else read_text(data["seen"], LONGEST_REVISION),
        error=read_text(data["error"] or "", LONGEST_ERROR),
        publish_rate=_read_number(traffic["publishedPerSecond"], 0, MOST),
        queued=read_integer(traffic["waiting"], MOST),
        channels=read_integer(traffic["channels"], MOST),
        isolated_seconds=_read_number(traffic["awaySeconds"], 0, MOST),
        modes=tuple(known for known in get_args(Mode) if known in _read_list(data.get("modes"))),
        other_redis_up=None if other is None or other["up"] is None else read_boolean(other["up"]),
        other_redis_failed=sum(read_integer(published.get(how, 0), MOST) for how in ("failed", "uncertain")),
    )


def _read_list(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _read_number(value: Any, low: float, high: float) -> float:
    found = read_number(value, low, high)
    return int(found) if float(found).is_integer() else found
