"""What waits for a slow client: counted messages in order, the newest of each key, and no more than that."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tradecast.engine.message import Message
from tradecast.engine.transports.outbox import Outbox

KEYS = ("AAPL", "MSFT", "TSLA", "status")
ROOMS = ("a", "b", "c")
rooms = st.lists(st.sampled_from(ROOMS), unique=True, max_size=2)


def message(
    text: str, key: Hashable | None = None, *, volatile: bool = False, rooms: Sequence[str] = ("a",)
) -> Message:
    made = Message([text])
    made.key, made.is_volatile, made.rooms = key, volatile, rooms
    return made


def texts(messages: Sequence[Message]) -> list[str]:
    return [str(one.parts[0]) for one in messages]


def test_messages_in_order_go_first_and_then_the_newest_of_each_key() -> None:
    outbox = Outbox()
    outcomes = [
        outbox.put(one, 0.0)
        for one in (
            message("AAPL 1", "AAPL"),
            message("trade 1"),
            message("MSFT 1", "MSFT"),
            message("AAPL 2", "AAPL"),
            message("tick", volatile=True),
            message("trade 2"),
        )
    ]
    assert outcomes == ["queued", "queued", "queued", "replaced", "dropped", "queued"]
    assert len(outbox) == 4
    assert texts(outbox.take(1_000)) == ["trade 1", "trade 2", "AAPL 2", "MSFT 1"]
    assert (len(outbox), outbox.size) == (0, 0)


def test_up_to_a_number_of_bytes_all_messages_wait_as_they_are() -> None:
    outbox = Outbox()
    delta = message("delta 1", "AAPL")
    delta.whole = message("whole 1", "AAPL")
    tick = message("tick")
    tick.is_volatile = True
    free = message("quote 0", "AAPL").size + delta.size + tick.size
    for one in (message("quote 0", "AAPL"), delta, tick):
        assert outbox.put(one, 0.0, free) == "queued"
    assert outbox.put(tick, 0.0, free) == "dropped"
    assert outbox.put(delta, 0.0, free) == "queued"
    outbox.take(free)
    # The whole one still waits, so what comes now may not go before it.
    assert outbox.put(delta, 0.0, free) == "replaced"
    assert [one.payload for one in outbox.take_all()] == [b"4whole 1"]


def test_what_waits_of_a_key_goes_before_a_message_that_follows_it() -> None:
    """A publisher has mixed kinds: the older one, which may be the whole state, comes neither later nor not at all."""
    outbox = Outbox()
    newer = message("AAPL 3")
    newer.follows = ("AAPL", "none")
    waiting = (message("AAPL 1", "AAPL"), message("MSFT 1", "MSFT"), message("AAPL 2", "AAPL"), message("trade"), newer)
    for one in (*waiting, message("AAPL 4", "AAPL")):
        outbox.put(one, 0.0)
    assert outbox.size == sum(one.size for one in waiting)
    assert texts(outbox.take(1_000)) == ["trade", "AAPL 2", "AAPL 3", "MSFT 1", "AAPL 4"]
    assert (len(outbox), outbox.size) == (0, 0)


def test_a_key_that_was_served_waits_for_all_others() -> None:
    outbox = Outbox()
    served: list[str] = []
    for n in range(12):
        for key in KEYS:
            outbox.put(message(f"{key} {n}", key), 0.0)
        served += texts(outbox.take(1))
    assert [text.split()[0] for text in served] == list(KEYS) * 3
    assert [text.split()[1] for text in served] == [str(n) for n in range(12)], "each one is the newest"


def test_one_message_at_least_is_taken_and_more_as_long_as_there_is_room() -> None:
    outbox = Outbox()
    for text in ("x" * 99, "y" * 9, "z" * 9, "w" * 99):
        outbox.put(message(text), 0.0)
    taken = [len(outbox.take(20)) for _ in range(4)]
    assert taken == [1, 2, 1, 0]


def test_what_has_changed_waits_as_the_whole() -> None:
    outbox = Outbox()
    delta, whole = message("delta 2", "AAPL"), message("whole 2, all of it", "AAPL")
    delta.whole = whole
    outbox.put(message("whole 1", "AAPL"), 0.0)
    assert outbox.put(delta, 0.0) == "replaced"
    assert outbox.size == whole.size
    assert outbox.take_all() == [whole]


def test_age_is_of_the_oldest_message_that_stays_in_order() -> None:
    outbox = Outbox()
    outbox.put(message("quote", "AAPL"), 1.0)
    ages = [outbox.oldest]
    for at in (2.0, 3.0):
        outbox.put(message("trade"), at)
    ages.append(outbox.oldest)
    outbox.take(1)
    ages.append(outbox.oldest)
    assert ages == [None, 2.0, 3.0]


def test_what_all_recipients_share_is_not_changed() -> None:
    shared = message("trade")
    slow, slower = Outbox(), Outbox()
    slow.put(shared, 1.0)
    slower.put(shared, 2.0)
    assert (slow.oldest, slower.oldest) == (1.0, 2.0)


def test_what_was_for_the_rooms_that_were_left_is_dropped_and_nothing_else() -> None:
    outbox = Outbox()
    kept = [message("both", rooms=("a", "b")), message("answer", rooms=()), message("other", "o", rooms=("b",))]
    for one in (message("left"), *kept, message("quote", "q"), message("left again", rooms=("a", "nowhere"))):
        outbox.put(one, 0.0)
    assert outbox.discard(("a",), {"b", "c"}) == 3
    assert outbox.size == sum(one.size for one in kept)
    assert outbox.take_all() == kept
    assert outbox.discard(("a",), ()) == 0


class Model(RuleBasedStateMachine):
    """An outbox beside what it must hold: lists that are plain to see."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.ordered: list[Message] = []
        self.latest: list[tuple[str, Message]] = []
        self.count = 0

    def make(self, key: str | None, rooms: Sequence[str], *, volatile: bool = False) -> Message:
        self.count += 1
        return message(f"{self.count}" + "x" * (self.count % 7), key, volatile=volatile, rooms=rooms)

    @rule(rooms=rooms)
    def put_counted(self, rooms: list[str]) -> None:
        one = self.make(None, rooms)
        assert self.outbox.put(one, float(self.count)) == "queued"
        self.ordered.append(one)

    @rule(key=st.sampled_from(KEYS), rooms=rooms)
    def put_latest(self, key: str, rooms: list[str]) -> None:
        one = self.make(key, rooms)
        known = key in [other for other, _ in self.latest]
        older = next((before for other, before in self.latest if other == key), None)
        assert self.outbox.growth(one) == (None if older is None else one.size - older.size)
        assert self.outbox.put(one, float(self.count)) == ("replaced" if known else "queued")
        if known:
            self.latest = [(other, one if other == key else older) for other, older in self.latest]
        else:
            self.latest.append((key, one))

    @rule()
    def put_volatile(self) -> None:
        assert self.outbox.put(self.make(None, (), volatile=True), 0.0) == "dropped"

    @rule(size=st.integers(0, 60))
    def take(self, size: int) -> None:
        expected = self.ordered + [one for _, one in self.latest]
        taken = self.outbox.take(size)
        assert taken == expected[: len(taken)]
        assert sum(one.size for one in taken) <= size or len(taken) == 1
        if len(taken) < len(expected):
            assert sum(one.size for one in expected[: len(taken) + 1]) > size
        counted = min(len(taken), len(self.ordered))
        del self.ordered[:counted]
        del self.latest[: len(taken) - counted]

    @rule()
    def take_all(self) -> None:
        assert self.outbox.take_all() == self.ordered + [one for _, one in self.latest]
        self.ordered, self.latest = [], []

    @rule(left=st.sampled_from(ROOMS), still_in=st.sets(st.sampled_from(ROOMS)))
    def leave(self, left: str, still_in: set[str]) -> None:
        still_in.discard(left)
        before = len(self.ordered) + len(self.latest)

        def stays(one: Message) -> bool:
            return left not in one.rooms or not still_in.isdisjoint(one.rooms)

        self.ordered = [one for one in self.ordered if stays(one)]
        self.latest = [(key, one) for key, one in self.latest if stays(one)]
        assert self.outbox.discard((left,), still_in) == before - len(self.ordered) - len(self.latest)

    @invariant()
    def counts_agree(self) -> None:
        waiting = self.ordered + [one for _, one in self.latest]
        assert len(self.outbox) == len(waiting) <= len(self.ordered) + len(KEYS)
        assert self.outbox.size == sum(one.size for one in waiting)
        assert (self.outbox.oldest is None) == (not self.ordered)


TestModel = Model.TestCase


@given(st.lists(st.sampled_from((*KEYS, None, "take")), max_size=200))
def test_nothing_counted_is_lost_and_no_key_goes_back_in_time(steps: list[str | None]) -> None:
    outbox, sent = Outbox(), list[Message]()
    counted: list[Message] = []
    newest: dict[str, Message] = {}
    for n, step in enumerate(steps):
        if step == "take":
            sent += outbox.take(1)
            continue
        one = message(str(n), step)
        outbox.put(one, float(n))
        if step is None:
            counted.append(one)
        else:
            newest[step] = one
    sent += outbox.take_all()
    assert [one for one in sent if one.key is None] == counted
    for key, last in newest.items():
        of_key = [int(str(one.parts[0])) for one in sent if one.key == key]
        assert of_key == sorted(set(of_key))
        assert of_key[-1] == int(str(last.parts[0])), "the newest always arrives"
