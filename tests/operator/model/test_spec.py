"""A resource's `spec` as typed values."""

from __future__ import annotations

from typing import Any

import pytest

from kit.kubernetes.crd import filled_in, schema
from tradecast_operator.model.adapter_spec import RedisAdapter, RedisSecret
from tradecast_operator.model.spec import Admin, Drain, Metric, Rebalance, Spec, Trial


def test_everything_can_be_said() -> None:
    spec = Spec.of(
        {
            "deployment": "web",
            "replicas": 4,
            "minReplicas": 2,
            "maxReplicas": 6,
            "connectionsPerReplica": 100,
            "dryRun": True,
            "admin": {"port": 9, "tokenSecret": {"name": "tokens", "key": "T"}},
            "drain": {"connectionsPerSecond": 7, "timeoutSeconds": 8},
            "rebalance": {
                "enabled": False,
                "thresholdPercent": 150,
                "minPods": 4,
                "minPodAgeSeconds": 5,
                "observations": 6,
                "quietPercent": 7,
                "quietSeconds": 8,
                "connectionsPerSecond": 9,
                "acceptPerSecond": 10,
            },
            "rollout": {
                "progressDeadlineSeconds": 900,
                "trial": {
                    "enabled": False,
                    "seconds": 18,
                    "readyWithinSeconds": 19,
                    "marginPercent": 20,
                    "leastCount": 21,
                    "sampleClients": 22,
                },
            },
            "metric": {"holdSeconds": 11, "staleSeconds": 12},
            "redisAdapter": {
                "mode": "sharded",
                "apply": "figures",
                "configMap": "figures",
                "dwellSeconds": 13,
                "confirmSeconds": 14,
                "rollSeconds": 17,
                "recoveryWindowSeconds": 15,
                "pinned": {"publish_batch": 16, "of_another_version": 1},
                "redisSecret": {"name": "redis", "key": "URL"},
            },
        }
    )
    assert spec == Spec(
        deployment="web",
        replicas=4,
        min_replicas=2,
        max_replicas=6,
        connections_per_replica=100,
        dry_run=True,
        admin=Admin(9, "tokens", "T"),
        drain=Drain(7, 8),
        rebalance=Rebalance(False, 1.5, 4, 5, 6, 0.07, 8, 9, 10),
        trial=Trial(False, 18, 19, 0.2, 21, 22, 900),
        metric=Metric(11, 12),
        redis_adapter=RedisAdapter(
            "sharded", "figures", "figures", 13, 14, 17, 15, {"publish_batch": 16}, RedisSecret("redis", "URL")
        ),
    )


def test_what_is_missing_has_the_defaults_of_the_schema() -> None:
    assert Spec.of({"deployment": "web"}) == Spec.of({"deployment": "web", **filled_in(schema())})


@pytest.mark.parametrize(
    ("asked", "low", "high", "wanted"),
    [(3, 1, 5, 3), (0, 1, 5, 1), (9, 1, 5, 5), (2, 4, 4, 4), (5, 5, 5, 5)],
)
def test_replicas_are_bounded(asked: int, low: int, high: int, wanted: int) -> None:
    assert Spec("web", replicas=asked, min_replicas=low, max_replicas=high).wanted == wanted


def test_what_makes_no_difference_any_more_is_not_passed_on() -> None:
    """Servers refuse more, and arithmetic with it may end in infinity."""
    spec = Spec.of(
        {
            "deployment": "web",
            "connectionsPerReplica": 10**30,
            "drain": {"connectionsPerSecond": 2**63, "timeoutSeconds": 2**63},
            "rebalance": {"connectionsPerSecond": 1e300, "acceptPerSecond": 1e300},
        }
    )
    assert (spec.drain.rate, spec.drain.timeout) == (100_000, 86_400)
    assert (spec.rebalance.rate, spec.rebalance.accept_rate) == (100_000, 100_000)
    assert spec.connections_per_replica == 1_000_000_000


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"drain": {"timeoutSeconds": "x"}}, "timeoutSeconds: no such number"),
        ({"redisAdapter": {"mode": ["single"]}}, "mode: no such choice"),
        ({"redisAdapter": {"pinned": {"publish_batch": float("nan")}}}, "pinned: publish_batch: no such number"),
        ({"admin": {"tokenSecret": {"name": ""}}}, "tokenSecret: name: no name"),
        ({"dryRun": "yes"}, "dryRun: neither true nor false"),
    ],
)
def test_what_is_invalid_is_said_by_its_name(spec: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Spec.of({"deployment": "web", **spec})
