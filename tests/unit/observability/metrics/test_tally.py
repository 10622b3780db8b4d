"""Counters and histograms of our own read as prometheus_client's do."""

from __future__ import annotations

import gc
import math
import sys
import threading
from collections.abc import Callable, Iterator

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from tradecast.observability.metrics.tally import Durations, Tally

BOUNDS = (0.001, 0.25, 1, 5)
Write = Callable[[CollectorRegistry], bytes]


@pytest.fixture(params=[prometheus_client.generate_latest, generate_openmetrics], ids=["text", "openmetrics"])
def write(request: pytest.FixtureRequest) -> Write:
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    found: Write = request.param
    return found


def test_a_tally_reads_as_a_counter(write: Write) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally(ours, "events", "What came", "event", ("a", "b"), 1)
    counter = Counter("events", "What came", ["event"], registry=theirs)
    for value in ("a", "b", "other", 'a "quoted"\nname'):
        counter.labels(value)
    for value, by in (("a", 1), ("a", 1), ('a "quoted"\nname', 3)):
        tally.count(value, by)
        counter.labels(value).inc(by)
    assert sorted(write(ours).splitlines()) == sorted(write(theirs).splitlines())


def test_values_beyond_what_may_come_count_as_other() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry, "events", "What came", "event", ("a",), 2)
    for n in range(1_000):
        tally.count(f"made up {n}")
    tally.know("registered")
    tally.count("registered", 7)
    tally.count("a")
    found = {sample.labels["event"]: sample.value for sample in next(iter(registry.collect())).samples}
    assert found == {"a": 1, "other": 998, "made up 0": 1, "made up 1": 1, "registered": 7}


def test_knowing_a_value_again_keeps_its_count() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry, "events", "What came", "event", ("a",))
    tally.count("a", 2)
    tally.know("a")
    assert registry.get_sample_value("events_total", {"event": "a"}) == 2


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 0.001, 0.0010001, 0.25, 0.9, 1.0, 5.0, 5.1, 1e9, math.inf])
def test_durations_read_as_a_histogram(write: Write, seconds: float) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations(ours, "event_seconds", "How long it took", BOUNDS)
    histogram = Histogram("event_seconds", "How long it took", buckets=BOUNDS, registry=theirs)
    for each in (seconds, 0.1, seconds):
        durations.observe(each)
        histogram.observe(each)
    assert write(ours) == write(theirs)


def test_a_name_is_given_once() -> None:
    registry = CollectorRegistry()
    Tally(registry, "events", "What came", "event", ())
    Durations(registry, "event_seconds", "How long it took", BOUNDS)
    with pytest.raises(ValueError, match="events"):
        Counter("events", "another", registry=registry)
    with pytest.raises(ValueError, match="event_seconds"):
        Durations(registry, "event_seconds", "How long it took", BOUNDS)


@pytest.fixture
def other_threads_run_in_garbage_collections() -> Iterator[None]:
    def work(phase: str, info: dict[str, int]) -> None:
        sum(range(200))

    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    gc.callbacks.append(work)
    yield
    gc.callbacks.remove(work)
    gc.set_threshold(*threshold)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("other_threads_run_in_garbage_collections")
def test_reading_in_another_thread_while_new_values_come() -> None:
    registry = CollectorRegistry()
    tally = Tally(registry, "events", "What came", "event", (), 5_000)
    errors: list[Exception] = []
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set():
                list(registry.collect())
        except Exception as error:
            errors.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    for n in range(5_000):
        tally.count(str(n))
    over.set()
    reading.join()
    assert errors == []
