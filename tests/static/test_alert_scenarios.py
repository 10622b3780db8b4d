"""What fires, of all alerts, when something happens to a whole fleet: each case says so, and nothing else may."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kit.kubernetes.tools import run
from kit.metrics.alert_scenarios import INTERVAL, Fleet, Scenario, cut, write_tests
from kit.servers.prometheus import promtool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "tradecast" / "files" / "alerts.yaml"
MANY = 80
Case = Callable[[Scenario], None]


def big(s: Scenario) -> Fleet:
    return Fleet(s, servers=MANY, clients=5_000).build()


def small(s: Scenario, servers: int = 3) -> Fleet:
    return Fleet(s, servers=servers).build()


def night(s: Scenario) -> Fleet:
    """Three events of clients a minute, all servers together; the market is closed, nothing is delivered."""
    fleet = Fleet(s, servers=2, clients=30, events=0.75, publishes=0.5, deliveries=0).build()
    for pod in fleet.pods():
        fleet.put(pod, "market_open", s.flat(0))
    return fleet


def count_one(fleet: Fleet, metric: str, **labels: str) -> None:
    """One at the 20th scrape."""
    fleet.put(fleet.pod(0), metric, fleet.scenario.step(0, 1, 20), **labels)


# -- nothing may fire


def a_big_fleet(s: Scenario) -> None:
    """One publish of 30,000 a minute fails, and a few events and connects."""
    fleet = big(s)
    fleet.put(fleet.pod(7), "redis_publishes_total", s.rising(0.5), result="failed")
    fleet.put(fleet.pod(8), "events_failed_total", s.rising(1), event="subscribe:trades")
    fleet.put(fleet.pod(9), "refusals_total", s.rising(0.1), code="INTERNAL")
    # one restart each, of three servers
    for number in (1, 2, 3):
        fleet.put(
            fleet.pod(number), "uptime_seconds", f"1000+{INTERVAL}x{s.steps // 2} 0+{INTERVAL}x{s.steps // 2 - 1}"
        )


def a_small_fleet(s: Scenario) -> None:
    small(s)


def one_server(s: Scenario) -> None:
    small(s, servers=1)


def a_night(s: Scenario) -> None:
    """One failure of each kind; and a client that reconnects once a second."""
    fleet = night(s)
    count_one(fleet, "events_failed_total", event="subscribe:trades")
    count_one(fleet, "redis_publishes_total", result="failed")
    count_one(fleet, "refusals_total", code="INTERNAL")
    count_one(fleet, "recoveries_total", result="gap")
    fleet.put(fleet.pod(0), "connects_total", s.rising(INTERVAL), result="accepted")
    for bound in ("0.1", "0.25", "0.5"):
        slow = f"0+0.75x20 13+0.75x{s.steps - 20}"
        fleet.put(fleet.pod(0), "event_duration_seconds_bucket", slow, le=bound)


def clients_go_home(s: Scenario) -> None:
    """The market closes, most clients leave, and no events come."""
    fleet = small(s)
    for pod in fleet.pods():
        fleet.put(pod, "market_open", s.step(1, 0, 20))
        fleet.put(pod, "connections", f"1000x20 1000-40x20 200x{s.steps - 42}")
        fleet.put(pod, "event_deliveries_total", f"0+30000x20 600000x{s.steps - 21}", event="watchlist:quote")


def the_opening(s: Scenario) -> None:
    """Five times as many clients within ten minutes, and twice as many servers, which start."""
    fleet = Fleet(s, servers=4, clients=1_000).build()
    new = [fleet.pod(100 + number) for number in range(4)]
    for pod in fleet.pods():
        fleet.put(pod, "connections", f"1000x20 1000+200x20 5000x{s.steps - 42}")
        fleet.put(pod, "connects_total", f"0+1x20 20+201x20 4060+1x{s.steps - 42}", result="accepted")
        fleet.put(pod, "connections_limit", s.flat(10_000))
    start_servers(fleet, new, at=40)
    set_replicas(fleet, 4, 8, asked_at=22, available_at=40)


def a_scale_out_with_rebalancing(s: Scenario) -> None:
    """Two servers become four, and the operator moves half of all clients to the new ones at once."""
    fleet = Fleet(s, servers=2, clients=4_000).build()
    new = [fleet.pod(100 + number) for number in range(2)]
    for pod in fleet.pods():
        fleet.put(pod, "connections", f"4000x20 4000-500x4 2000x{s.steps - 26}")
        fleet.put(pod, "connections_closed_total", f"0x20 500+500x3 2000x{s.steps - 25}", reason="shed")
    start_servers(fleet, new, at=18)
    for pod in new:
        fleet.put(pod, "connections", f"_x18 0x2 500+500x3 2000x{s.steps - 25}")
        fleet.put(pod, "connects_total", f"_x18 0x2 500+500x3 2000x{s.steps - 25}", result="accepted")
    set_replicas(fleet, 2, 4, asked_at=16, available_at=18)


def a_scale_in(s: Scenario) -> None:
    """The operator drains half of the servers, then removes them, within two scrapes."""
    fleet = Fleet(s, servers=4, clients=1_000).build()
    for pod in fleet.pods()[2:]:
        drain(fleet, pod, at=20)
    for pod in fleet.pods()[:2]:
        fleet.put(pod, "connections", f"1000x20 1500 2000x{s.steps - 22}")
        fleet.put(pod, "connects_total", f"0+1x20 520 1020 1020+1x{s.steps - 23}", result="accepted")
    set_replicas(fleet, 4, 2, asked_at=24, available_at=20)


def a_rollout_between_scrapes(s: Scenario) -> None:
    """A small fleet: old servers close 400 clients in seconds, so no scrape sees that they drain."""
    fleet = Fleet(s, servers=2, clients=400).build()
    old, new = fleet.pods(), [fleet.pod(100), fleet.pod(101)]
    start_servers(fleet, new, at=20)
    for number, pod in enumerate(old):
        fleet.remove(pod, at=22 + number)
    for pod in new:
        fleet.put(pod, "connections", f"_x20 0 0 200 400x{s.steps - 24}")
        fleet.put(pod, "connects_total", f"_x20 0 0 200 400x{s.steps - 24}", result="accepted")


def a_long_rollout(s: Scenario) -> None:
    """Ten servers drain one after the other, each for five minutes; the others are superseded for most of an hour."""
    fleet = Fleet(s, servers=10, clients=3_000).build()
    old, new = fleet.pods(), [fleet.pod(100 + number) for number in range(10)]
    start_servers(fleet, new, at=10)
    for number, pod in enumerate(old):
        begin = 10 + 10 * number
        fleet.put(pod, "superseded", s.step(0, 1, 10))
        fleet.put(pod, "draining", s.step(0, 1, begin))
        fleet.put(pod, "connections", f"3000x{begin} 2700-300x9 0x{s.steps - begin - 10}")
        fleet.put(pod, "connections_closed_total", f"0x{begin} 300+300x9 3000x{s.steps - begin - 10}", reason="drain")
        fleet.remove(pod, at=begin + 11)
    for pod in new:
        fleet.put(pod, "connections", f"_x10 0+30x100 3000x{s.steps - 111}")
        fleet.put(pod, "connects_total", f"_x10 0+30x100 3000x{s.steps - 111}", result="accepted")


def a_fleet_of_fixed_size(s: Scenario) -> None:
    """The autoscaler's bounds are the same: it is always at its maximum."""
    fleet = small(s)
    for bound in ("min", "max"):
        s.put(
            f"kube_horizontalpodautoscaler_spec_{bound}_replicas",
            s.flat(3),
            namespace=fleet.where["namespace"],
            job="kube-state-metrics",
            horizontalpodautoscaler="keda-hpa-tradecast",
        )


def no_limits_are_known(s: Scenario) -> None:
    fleet = small(s)
    for pod in fleet.pods():
        fleet.put(pod, "memory_limit_bytes", s.flat(0))


def another_monitor(s: Scenario) -> None:
    """An upgrade replaces the PodMonitor by a ServiceMonitor, and all pods, so that their job is another one."""
    old = Fleet(s, servers=3).build()
    for pod in old.pods():
        old.remove(pod, at=20)
    new = Fleet(s, servers=3, where={"namespace": "trading", "job": "tradecast-admin"})
    start_servers(new, [new.pod(100 + number) for number in range(3)], at=20)
    for number in range(3):
        new.put(new.pod(100 + number), "connections", f"_x20 1000x{s.steps - 21}")


def an_autoscaler_is_removed(s: Scenario) -> None:
    """`autoscaling.mode` is none again: nobody asks the operator for a number."""
    fleet = small(s)
    for one in [one for one in s.series if one[0].startswith("kube_horizontalpodautoscaler_")]:
        s.series[one] = cut(s.series[one], 20)
    labels = {"namespace": "trading", "fleet": fleet.name, "job": "trading/tradecast-operator"}
    s.put("tradecast_operator_readings_total", f"0+2x20 40x{s.steps - 21}", result="answered", **labels)


def nobody_wants_servers(s: Scenario) -> None:
    """A release is scaled to 0 by hand."""
    fleet = small(s)
    for pod in fleet.pods():
        fleet.remove(pod, at=20)
    for one in [one for one in s.series if one[0].startswith("tradecast_operator_")]:
        del s.series[one]
    set_replicas(fleet, 3, 0, asked_at=19, available_at=20)


SILENT: list[Case] = [
    *(a_big_fleet, a_small_fleet, one_server, a_night, clients_go_home, a_scale_out_with_rebalancing),
    *(a_scale_in, a_rollout_between_scrapes, a_long_rollout, a_fleet_of_fixed_size, no_limits_are_known),
    *(another_monitor, an_autoscaler_is_removed, nobody_wants_servers),
]


# -- what fires


def one_bad_of_many(s: Scenario) -> None:
    """One server without Redis, subscription, database and session store, whose loop and memory are full."""
    fleet, pod = big(s), Fleet(s, servers=MANY).pod(34)
    make_bad(fleet, pod)


def one_bad_of_four(s: Scenario) -> None:
    fleet = Fleet(s, servers=4, cores=4).build()
    make_bad(fleet, fleet.pod(2))


def one_loop_of_a_large_node(s: Scenario) -> None:
    fleet = Fleet(s, servers=4, cores=64).build()
    fleet.put(fleet.pod(1), "cpu_seconds_total", s.rising(0.98 * INTERVAL))


def one_loop_with_a_small_limit(s: Scenario) -> None:
    fleet = Fleet(s, servers=4, cores=0.25).build()
    for pod in fleet.pods():
        fleet.put(pod, "cpu_seconds_total", s.rising(0.1 * INTERVAL))
    fleet.put(fleet.pod(1), "cpu_seconds_total", s.rising(0.245 * INTERVAL))


def a_dead_node_of_a_small_fleet(s: Scenario) -> None:
    """One of three; its pod stays for five minutes, then another one takes its place."""
    fleet = small(s)
    fleet.remove(fleet.pod(0), at=20, node_died=True)
    for pod in fleet.pods()[1:]:
        fleet.put(pod, "connections", f"1000x21 1200 1500x{s.steps - 23}")
        fleet.put(pod, "connects_total", f"0+1x21 221 521+1x{s.steps - 23}", result="accepted")
    s.put(
        "kube_deployment_status_replicas_available",
        f"3x20 2x14 3x{s.steps - 36}",
        namespace="trading",
        job="kube-state-metrics",
        deployment="tradecast",
    )


def a_dead_node_of_a_big_fleet(s: Scenario) -> None:
    """Two of eighty."""
    fleet = big(s)
    for number in range(2):
        fleet.remove(fleet.pod(number), at=20, node_died=True)


def half_of_a_fleet_crashes(s: Scenario) -> None:
    """Two of four servers restart at once; the others get their clients."""
    fleet = Fleet(s, servers=4).build()
    for pod in fleet.pods()[:2]:
        fleet.put(pod, "connections", f"1000x20 0x{s.steps - 21}")
        fleet.put(pod, "uptime_seconds", f"1000+{INTERVAL}x20 0+{INTERVAL}x{s.steps - 21}")
    for pod in fleet.pods()[2:]:
        fleet.put(pod, "connects_total", f"0+1x20 1520 2520+1x{s.steps - 22}", result="accepted")


def a_storm_in_a_rollout(s: Scenario) -> None:
    """A proxy closes everybody while one server drains: what the drain closed does not hide it."""
    fleet = Fleet(s, servers=5, clients=2_000).build()
    fleet.put(fleet.pod(0), "draining", s.step(0, 1, 15))
    fleet.put(fleet.pod(0), "connections_closed_total", f"0x15 100+100x15 1600x{s.steps - 32}", reason="drain")
    for pod in fleet.pods()[1:]:
        fleet.put(pod, "connects_total", f"0+1x20 2020 2020+1x{s.steps - 22}", result="accepted")


def redis_is_gone(s: Scenario) -> None:
    fleet = small(s)
    for pod in fleet.pods():
        fleet.put(pod, "dependency_up", s.step(1, 0, 10), dependency="redis")
        fleet.put(pod, "redis_subscribed", s.step(1, 0, 10))
        fleet.put(pod, "redis_publishes_total", f"0+300x10 3000x{s.steps - 11}", result="ok")
        fleet.put(pod, "redis_publishes_total", f"0x10 0+300x{s.steps - 11}", result="failed")
        fleet.put(pod, "limiter_fallback", s.step(0, 1, 10))
        fleet.put(pod, "event_deliveries_total", f"0+30000x10 300000x{s.steps - 11}", event="watchlist:quote")
        fleet.put(pod, "publishes_waiting", s.step(0, 1_000, 10))


def events_fail_at_night(s: Scenario) -> None:
    """Nearly all of the few that there are."""
    fleet = night(s)
    for pod in fleet.pods():
        fleet.put(pod, "events_failed_total", f"0x10 0+0.7x{s.steps - 11}", event="subscribe:trades")


def one_server_delivers_nothing(s: Scenario) -> None:
    fleet = Fleet(s, servers=25).build()
    fleet.put(fleet.pod(3), "event_deliveries_total", f"0+30000x5 150000x{s.steps - 6}", event="watchlist:quote")


def too_few_servers(s: Scenario) -> None:
    """New pods of a fleet of four do not start."""
    fleet = small(s, servers=2)
    set_replicas(fleet, 4, 2, asked_at=None, available_at=5)
    for number in range(2):
        labels = {"namespace": "trading", "job": "kube-state-metrics", "pod": f"tradecast-5d4f8b9c6-p{number:04d}"}
        s.put("kube_pod_status_phase", s.step(0, 1, 5), phase="Pending", **labels)


def a_blind_autoscaler(s: Scenario) -> None:
    small(s)
    labels = {"namespace": "trading", "job": "kube-state-metrics", "horizontalpodautoscaler": "keda-hpa-tradecast"}
    for status, values in (("true", s.step(1, 0, 10)), ("false", s.step(0, 1, 10))):
        condition = {"condition": "ScalingActive", "status": status}
        s.put("kube_horizontalpodautoscaler_status_condition", values, **condition, **labels)


FIRING: list[tuple[Case, set[str]]] = [
    # without rebalancing, the old servers keep their clients
    (the_opening, {"TradecastConnectionImbalance warning"}),
    (
        one_bad_of_many,
        {
            *("TradecastServerWithoutDependency warning", "TradecastMemoryHigh warning", "TradecastCPUHigh warning"),
            *("TradecastEventLoopLag warning", "TradecastServerDeliversNothing warning"),
            *("TradecastPublishBufferFilling warning",),
        },
    ),
    (
        one_bad_of_four,
        {
            *("TradecastServerWithoutDependency warning", "TradecastMemoryHigh warning", "TradecastCPUHigh warning"),
            *("TradecastEventLoopLag warning", "TradecastServerDeliversNothing warning"),
            *("TradecastPublishBufferFilling warning", "TradecastRateLimitFallback warning"),
            *("TradecastRedisDown critical", "TradecastRedisSubscriptionLost critical"),
            *("TradecastDatabaseDown critical", "TradecastSessionStoreDown critical"),
            *("TradecastMemoryCritical critical", "TradecastCPUCritical critical"),
        },
    ),
    (one_loop_of_a_large_node, {"TradecastCPUCritical critical", "TradecastCPUHigh warning"}),
    (one_loop_with_a_small_limit, {"TradecastCPUCritical critical", "TradecastCPUHigh warning"}),
    (a_dead_node_of_a_small_fleet, {"TradecastServerDown warning"}),
    (a_dead_node_of_a_big_fleet, {"TradecastServerDown warning"}),
    (half_of_a_fleet_crashes, {"TradecastReconnectStorm critical", "TradecastConnectionImbalance warning"}),
    (a_storm_in_a_rollout, {"TradecastReconnectStorm critical"}),
    (
        redis_is_gone,
        {
            *("TradecastRedisDown critical", "TradecastRedisSubscriptionLost critical"),
            *("TradecastRedisPublishFailing critical", "TradecastRedisPublishErrors warning"),
            *("TradecastServerWithoutDependency warning", "TradecastRateLimitFallback warning"),
            *("TradecastQuotesStopped critical", "TradecastDeliveriesStopped critical"),
            *("TradecastPublishBufferFilling warning",),
        },
    ),
    (
        events_fail_at_night,
        {
            *("TradecastErrorRateCritical critical", "TradecastErrorRateHigh warning"),
            *("TradecastEventBudgetBurning critical",),
        },
    ),
    (one_server_delivers_nothing, {"TradecastServerDeliversNothing warning"}),
    (too_few_servers, {"TradecastTooFewServers critical", "TradecastPodsPending warning"}),
    (a_blind_autoscaler, {"TradecastAutoscalerBlind critical"}),
]


# -- what happens


def make_bad(fleet: Fleet, pod: str) -> None:
    """A server goes without all that it needs."""
    s = fleet.scenario
    for dependency in ("redis", "database"):
        fleet.put(pod, "dependency_up", s.step(1, 0, 5), dependency=dependency)
    for metric in ("redis_subscribed", "session_store_up"):
        fleet.put(pod, metric, s.step(1, 0, 5))
    fleet.put(pod, "limiter_fallback", s.step(0, 1, 5))
    fleet.put(pod, "memory_rss_bytes", s.step(4e8, 9.5e8, 5))
    fleet.put(pod, "cpu_seconds_total", s.rising(INTERVAL))
    fleet.put(pod, "publishes_waiting", s.step(0, 990, 5))
    fleet.put(pod, "event_deliveries_total", f"0+30000x5 150000x{s.steps - 6}", event="watchlist:quote")
    for bound in ("0.1", "0.25"):
        fleet.put(pod, "event_loop_lag_seconds_bucket", s.flat(0), le=bound)


def start_servers(fleet: Fleet, pods: list[str], at: int) -> None:
    """Servers that are scraped from then on, without clients."""
    for pod in pods:
        fleet.add_server(pod)
    for one, values in list(fleet.scenario.series.items()):
        if dict(one[1]).get("pod") in pods:
            fleet.scenario.series[one] = f"_x{at} {values.rpartition('x')[0]}x{fleet.scenario.steps - at}"
    for pod in pods:
        fleet.put(pod, "connections", f"_x{at} 0x{fleet.scenario.steps - at}")
        fleet.put(pod, "subscriptions", f"_x{at} 0x{fleet.scenario.steps - at}", kind="watchlist")
        fleet.put(pod, "uptime_seconds", f"_x{at} 1+{INTERVAL}x{fleet.scenario.steps - at}")


def drain(fleet: Fleet, pod: str, at: int) -> None:
    """A server closes its clients within a minute, and goes four scrapes after it began."""
    s = fleet.scenario
    fleet.put(pod, "draining", s.step(0, 1, at))
    fleet.put(pod, "connections", f"{fleet.clients:g}x{at} {fleet.clients / 2:g} 0x{s.steps - at - 2}")
    closed = f"0x{at} {fleet.clients / 2:g} {fleet.clients:g}x{s.steps - at - 2}"
    fleet.put(pod, "connections_closed_total", closed, reason="drain")
    fleet.remove(pod, at=at + 4)


def set_replicas(fleet: Fleet, before: int, after: int, *, asked_at: int | None, available_at: int) -> None:
    """The Deployment's replicas change, asked for and available at these scrapes; None: what is asked for stays."""
    s, labels = fleet.scenario, {"namespace": "trading", "job": "kube-state-metrics", "deployment": fleet.name}
    asked = s.flat(before) if asked_at is None else s.step(before, after, asked_at)
    s.put("kube_deployment_spec_replicas", asked, **labels)
    s.put("kube_deployment_status_replicas_available", s.step(before, after, available_at), **labels)


# -- the tests


def check(path: Path, build: Case, expected: set[str], rules: Path = RULES, steps: int = 80) -> None:
    scenario = Scenario(steps)
    build(scenario)
    test = scenario.tests(expected, ("alertname", "severity"))
    done = promtool("test", "rules", write_tests(path / "scenario.yaml", rules, [test]))
    assert done.returncode == 0, done.stdout + done.stderr


def steps_of(case: Case) -> int:
    """A big fleet for as short as possible; a long rollout for longer."""
    if case in (a_big_fleet, one_bad_of_many, a_dead_node_of_a_big_fleet):
        return 40
    return 130 if case is a_long_rollout else 80


@pytest.mark.parametrize("case", SILENT, ids=lambda case: case.__name__)
def test_nothing_fires(case: Case, tmp_path: Path) -> None:
    check(tmp_path, case, set(), steps=steps_of(case))


@pytest.mark.parametrize(("case", "expected"), FIRING, ids=lambda one: getattr(one, "__name__", ""))
def test_these_fire_and_no_others(case: Case, expected: set[str], tmp_path: Path) -> None:
    check(tmp_path, case, expected, steps=steps_of(case))


# -- several fleets in one Prometheus


def bad_and_well(s: Scenario, bad: Fleet, well: Fleet) -> None:
    for fleet in (bad, well):
        fleet.build()
    for pod in bad.pods():
        make_bad(bad, pod)


def test_alerts_are_told_apart_by_cluster(tmp_path: Path) -> None:
    """Two fleets of the same namespace and job, in two clusters of which one has no Redis."""
    s = Scenario(40)
    east = {"cluster": "east", "namespace": "trading", "job": "trading/tradecast"}
    bad_and_well(s, Fleet(s, servers=2, where=east), Fleet(s, servers=30, where={**east, "cluster": "west"}))
    test = s.tests({"TradecastRedisDown east", "TradecastCPUCritical east"}, ("alertname", "cluster"))
    test["promql_expr_test"][0]["expr"] = (
        "group by (alertname, cluster) "
        '(max_over_time(ALERTS{alertstate="firing", alertname=~"TradecastRedisDown|TradecastCPUCritical"}[20m]))'
    )
    done = promtool("test", "rules", write_tests(tmp_path / "scenario.yaml", RULES, [test]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("own", ["tradecast", "tradecast-b"])
def test_a_release_alerts_for_itself_only(own: str, tmp_path: Path) -> None:
    """Two releases in one namespace, even with one job for both, as scraping by annotations gives them."""
    rendered = run(
        *("helm", "template", own, ROOT / "charts" / "tradecast", "--namespace", "trading"),
        *("--set", "prometheusRule.enabled=true", "--show-only", "templates/monitoring.yaml"),
    )
    assert rendered.returncode == 0, rendered.stderr
    rules = tmp_path / "rules.yaml"
    rules.write_text(json.dumps(yaml.safe_load(rendered.stdout)["spec"]), encoding="utf-8")
    assert promtool("check", "rules", rules).returncode == 0
    assert '=~\\".*' not in rules.read_text(encoding="utf-8")

    s = Scenario(40)
    where = {"namespace": "trading", "job": "kubernetes-pods"}
    bad_and_well(
        s,
        Fleet(s, servers=4, name="tradecast-b", where=where),
        Fleet(s, servers=4, name="tradecast", where=where),
    )
    labels = {"namespace": "trading", "job": "kube-state-metrics", "horizontalpodautoscaler": "keda-hpa-tradecast-b"}
    blind = {"condition": "ScalingActive", "status": "false"}
    s.put("kube_horizontalpodautoscaler_status_condition", s.flat(1), **blind, **labels)
    # another namespace has a release of the same name, and that is in trouble too
    elsewhere = Fleet(s, servers=4, name="tradecast", where={"namespace": "other", "job": "kubernetes-pods"}).build()
    for pod in elsewhere.pods():
        make_bad(elsewhere, pod)
    bad = {
        *("TradecastServerWithoutDependency warning", "TradecastMemoryHigh warning", "TradecastCPUHigh warning"),
        *("TradecastEventLoopLag warning", "TradecastPublishBufferFilling warning"),
        *("TradecastRateLimitFallback warning", "TradecastRedisDown critical"),
        *("TradecastRedisSubscriptionLost critical", "TradecastDatabaseDown critical"),
        *("TradecastSessionStoreDown critical", "TradecastMemoryCritical critical", "TradecastCPUCritical critical"),
        *("TradecastQuotesStopped critical", "TradecastDeliveriesStopped critical"),
        *("TradecastAutoscalerBlind critical",),
    }
    test = s.tests(bad if own == "tradecast-b" else (), ("alertname", "severity"))
    done = promtool("test", "rules", write_tests(tmp_path / "scenario.yaml", rules, [test]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("bad", "severity"), [(1, "warning"), (100, "critical")])
def test_2000_servers_page_from_a_share_on(bad: int, severity: str, tmp_path: Path) -> None:
    s = Scenario(20)
    fleet = Fleet(s, servers=2_000)
    for number, pod in enumerate(fleet.pods()):
        fleet.put(pod, "connections", s.flat(5_000))
        fleet.put(pod, "dependency_up", s.flat(number >= bad), dependency="redis")
    expected = {"TradecastServerWithoutDependency warning"}
    expected |= {"TradecastRedisDown critical"} if severity == "critical" else set()
    test = s.tests(expected, ("alertname", "severity"))
    done = promtool("test", "rules", write_tests(tmp_path / "scenario.yaml", RULES, [test]))
    assert done.returncode == 0, done.stdout + done.stderr
