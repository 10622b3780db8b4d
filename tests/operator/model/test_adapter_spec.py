"""`spec.redisAdapter` of a SocketFleet."""

from __future__ import annotations

from kit.kubernetes.crd import schema
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast_operator.model.adapter_spec import BOUNDS


def test_figures_are_those_of_the_servers_with_their_bounds() -> None:
    """Operator and server know each other by HTTP only, so nothing but this holds them together."""
    pinned = schema()["properties"]["redisAdapter"]["properties"]["pinned"]["properties"]
    servers = RuntimeSettings.model_json_schema()["properties"]
    assert BOUNDS.keys() == pinned.keys() == servers.keys()
    for name, (low, high) in BOUNDS.items():
        theirs = servers[name]
        assert theirs.get("minimum", theirs.get("exclusiveMinimum")) == low == pinned[name]["minimum"]
        assert theirs["maximum"] == high == pinned[name]["maximum"]
        assert theirs["type"] == pinned[name]["type"]
