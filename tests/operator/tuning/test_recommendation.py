"""The mode that is recommended, from round to round."""

from __future__ import annotations

from dataclasses import replace

from kit.kubernetes.tuned_servers import RULES, Servers, told
from tradecast_operator.model.adapter_spec import RedisSecret
from tradecast_operator.tuning.plan import plan_tuning
from tradecast_operator.tuning.redis_limits import RedisFacts, RedisWatch
from tradecast_operator.tuning.snapshot import Snapshot, TuningState


def test_the_mode_is_only_recommended() -> None:
    servers = Servers(rules=replace(RULES, mode="sharded"))
    decision = servers.wait(3_600)
    assert servers.written == []
    assert servers.events == ["AdapterModeRecommended"]
    assert told(decision) == ("False", "ModeDiffers")
    assert decision.status["recommendedMode"] == "sharded"


def test_no_other_mode_is_recommended_while_redis_is_silent() -> None:
    rules = replace(RULES, redis_secret=RedisSecret("redis"))
    one = Servers().servers()[0]
    snapshot = Snapshot(1_000_000, [one], connections=50_000, redis=RedisWatch(facts=RedisFacts(cluster=True)))
    decision = plan_tuning(snapshot, rules, None, TuningState(), apply=False)
    assert decision.status["recommendedMode"] == "sharded"
    later = replace(snapshot, time=snapshot.time + 9_999, redis=RedisWatch())
    assert plan_tuning(later, rules, None, decision.state, apply=False).status["recommendedMode"] == "sharded"
