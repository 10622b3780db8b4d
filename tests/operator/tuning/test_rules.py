"""The adapter's mode and settings: each rule, and what holds for all of them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import Settings
from tradecast.runtime_config.overrides import extract_runtime_settings
from tradecast_operator.model.adapter_spec import BOUNDS, Mode, RedisAdapter
from tradecast_operator.tuning.redis_limits import RedisFacts, RedisWatch
from tradecast_operator.tuning.rules import WORTH, estimate_recovery_history, propose_changes, recommend_mode
from tradecast_operator.tuning.server_adapter import ServerAdapter

DEFAULTS: dict[str, float] = extract_runtime_settings(Settings(redis_url="redis://x")).model_dump()
RULES = RedisAdapter()


def server(published: float = 0, channels: int = 0, **settings: float) -> ServerAdapter:
    return ServerAdapter(
        "a", "pubsub", {**DEFAULTS, **settings}, defaults=DEFAULTS, publish_rate=published, channels=channels
    )


def asked(*servers: ServerAdapter, memory: float | None = None, rules: RedisAdapter = RULES) -> dict[str, float]:
    changes = propose_changes(servers[0].settings, servers[0].defaults, servers, memory, rules)
    return {change.setting: change.after for change in changes}


def test_a_quiet_fleet_keeps_the_settings() -> None:
    assert asked(server(10, 100), server(0, 50)) == {}


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ([server(700)], {}),
        ([server(1_900)], {"publish_buffer": 38_000}),
        ([server(1_940)], {"publish_buffer": 39_000, "publish_batch": 97}),
        ([server(5_000)], {"publish_buffer": 100_000, "publish_batch": 250, "batch_window_ms": 1.0}),
        ([server(50_000)], {"publish_buffer": 200_000, "publish_batch": 260, "batch_window_ms": 1.0}),
        ([server(500)] * 8, {"batch_window_ms": 4}),
        ([server(500)] * 40, {"batch_window_ms": 10}),
        ([server(100)] * 39, {}),
        ([server(10, 14_000)], {}),
        ([server(10, 16_000)], {"subscription_batch": 800}),
        ([server(10, 10**6)], {"subscription_batch": 5_000}),
    ],
)
def test_settings_follow_rates(servers: list[ServerAdapter], expected: dict[str, float]) -> None:
    assert asked(*servers) == expected


@pytest.mark.parametrize(("total", "window"), [(4_100, 4), (3_900, 4), (2_100, 4), (1_900, 0)])
def test_the_window_closes_far_below_where_it_opened(total: float, window: float) -> None:
    servers = [server(total / 8, batch_window_ms=4)] * 8
    assert asked(*servers).get("batch_window_ms", 4) == window


def test_what_load_had_raised_comes_down_to_the_settings() -> None:
    raised = server(10, 100, publish_batch=250, publish_buffer=100_000, subscription_batch=3_000, batch_window_ms=3)
    assert asked(raised) == {name: DEFAULTS[name] for name in (
        "publish_batch", "publish_buffer", "subscription_batch", "batch_window_ms"
    )}  # fmt: skip


@pytest.mark.parametrize(
    ("memory", "now", "after"),
    [
        (None, 1_000, 1_000), (0.5, 1_000, 1_000), (0.74, 1_000, 1_000),
        (0.75, 1_000, 800), (0.9, 1_000, 670), (0.9, 100, 100),
        (0.5, 400, 400), (0.4, 400, 600), (0.1, 400, 800), (0.1, 800, 1_000), (0.1, 5_000, 1_000),
    ],
)  # fmt: skip
def test_the_history_follows_memory(memory: float | None, now: int, after: int) -> None:
    assert asked(server(history_events=now), memory=memory).get("history_events", now) == after


def test_the_history_does_not_fall_below_what_recovery_needs() -> None:
    servers = [server(100, 200), server(140, 400)]
    assert estimate_recovery_history(servers, 120) == 720  # 240 events/s, 400 rooms, 120 s, ten times
    assert asked(*servers, memory=0.95)["history_events"] == 720
    busier = [server(1_000, 200)]
    assert "history_events" not in asked(*busier, memory=0.95)


def test_a_window_that_servers_would_refuse_is_not_asked_for() -> None:
    rules = RedisAdapter(pinned={"publish_timeout": 0.008})
    assert asked(*[server(500)] * 40, rules=rules)["batch_window_ms"] == 4


def test_without_redis_nothing_but_what_is_pinned_matters() -> None:
    single = replace(server(50_000, 50_000), mode="single")
    assert asked(single) == {}
    assert asked(single, rules=RedisAdapter(pinned={"publish_batch": 7})) == {"publish_batch": 7}


def test_what_is_not_pinned_any_more_is_as_the_settings_say() -> None:
    assert asked(server(publish_timeout=3, channel_linger=4, history_events=7)) == {
        "publish_timeout": DEFAULTS["publish_timeout"],
        "channel_linger": DEFAULTS["channel_linger"],
        "history_events": DEFAULTS["history_events"],
    }


def fleet(draw: random.Random) -> list[ServerAdapter]:
    settings = {name: draw.choice([DEFAULTS[name], draw.randint(1, int(high))]) for name, (_, high) in BOUNDS.items()}
    settings["batch_window_ms"] = min(settings["batch_window_ms"], settings["publish_timeout"] * 500)
    return [
        server(draw.choice([0, 10 ** draw.uniform(0, 6)]), int(10 ** draw.uniform(0, 6)), **settings)
        for _ in range(draw.choice([1, 2, 10, 300]))
    ]


def settled(servers: list[ServerAdapter], memory: float | None, rules: RedisAdapter) -> list[ServerAdapter]:
    """The same with what is asked for in force."""
    changes = asked(*servers, memory=memory, rules=rules)
    return [replace(one, settings={**one.settings, **changes}) for one in servers]


@pytest.mark.parametrize("seed", range(300))
def test_servers_take_whatever_is_asked_for_and_pinned_settings_are_kept(seed: int) -> None:
    draw = random.Random(seed)
    pinned: dict[str, float] = {"publish_batch": draw.randint(1, 1_000), "history_events": draw.randint(1, 10**6)}
    rules = RedisAdapter(pinned=pinned if draw.random() < 0.5 else {})
    servers = fleet(draw)
    for _ in range(3):
        servers = settled(servers, draw.choice([None, draw.random()]), rules)
        RuntimeSettings.model_validate(servers[0].settings)
        assert servers[0].settings.items() >= rules.pinned.items()


@pytest.mark.parametrize("seed", range(300))
def test_noise_does_not_move_a_setting_to_and_fro(seed: int) -> None:
    draw = random.Random(seed)
    first = fleet(draw)
    first = [replace(one, settings=DEFAULTS) for one in first]
    # Redis' memory is the history's for the greater part; where it settles, noise leaves it between the thresholds.
    memory = draw.choice([None, draw.uniform(0.5, 0.67)])

    def noisy() -> list[ServerAdapter]:
        return [
            replace(
                one,
                publish_rate=before.publish_rate * draw.uniform(0.9, 1.1),
                channels=round(before.channels * draw.uniform(0.9, 1.1)),
            )
            for one, before in zip(servers, first, strict=True)
        ]

    servers = first
    for _ in range(3):
        servers = settled(noisy(), memory, RULES)
    moves = dict.fromkeys(BOUNDS, 0)
    for _ in range(30):
        before, servers = servers[0].settings, settled(noisy(), memory and memory * draw.uniform(0.9, 1.1), RULES)
        for name, value in servers[0].settings.items():
            moves[name] += value != before[name]
    # What was just below the factor may be above it at last; it does not come back.
    assert max(moves.values()) <= 1
    assert WORTH > 1.1 / 0.9


REDIS = RedisWatch(facts=RedisFacts())
CLUSTER = RedisWatch(facts=RedisFacts(cluster=True))
LIMITED = RedisWatch(facts=RedisFacts(), limits=("Busy",))


@pytest.mark.parametrize(
    ("previous", "current", "connections", "servers", "redis", "mode"),
    [
        ("single", "single", 999, 1, RedisWatch(), "single"),
        ("single", "single", 1_000, 1, RedisWatch(), "pubsub"),
        ("pubsub", "single", 900, 1, RedisWatch(), "pubsub"),
        ("pubsub", "pubsub", 799, 1, RedisWatch(), "single"),
        ("single", "single", 10, 2, RedisWatch(), "pubsub"),
        ("pubsub", "pubsub", 9_999, 2, CLUSTER, "pubsub"),
        ("pubsub", "pubsub", 10_000, 2, RedisWatch(), "pubsub"),
        ("pubsub", "pubsub", 10_000, 2, REDIS, "pubsub"),
        ("pubsub", "pubsub", 10_000, 2, CLUSTER, "sharded"),
        ("pubsub", "pubsub", 10_000, 2, LIMITED, "sharded"),
        ("pubsub", "pubsub", 9_999, 2, LIMITED, "pubsub"),
        ("sharded", "pubsub", 9_000, 2, CLUSTER, "sharded"),
        ("sharded", "pubsub", 7_999, 2, CLUSTER, "pubsub"),
        ("sharded", "sharded", 10, 2, CLUSTER, "sharded"),
    ],
)
def test_the_mode_follows_connections_servers_and_what_redis_is(
    previous: Mode, current: Mode, connections: int, servers: int, redis: RedisWatch, mode: Mode
) -> None:
    assert recommend_mode(RULES, previous, current, connections, servers, redis)[0] == mode


def test_a_mode_that_is_asked_for_is_the_right_one() -> None:
    assert recommend_mode(RedisAdapter(mode="single"), "pubsub", "pubsub", 10**6, 9, CLUSTER)[0] == "single"


def test_a_cluster_that_all_servers_have_is_there() -> None:
    def mode(connections: int, *, cluster: bool) -> Mode:
        return recommend_mode(RULES, "pubsub", "pubsub", connections, 9, RedisWatch(), cluster=cluster)[0]

    assert (mode(10_000, cluster=True), mode(10_000, cluster=False), mode(9_999, cluster=True)) == (
        "sharded", "pubsub", "pubsub",
    )  # fmt: skip
