"""What is stored of a client, and control messages for several listeners."""

from __future__ import annotations

from tradecast.delivery.broker import ControlListeners, RecoveryState


def make_state() -> RecoveryState:
    return RecoveryState("pid", "u1", "sid", "c1", 3, {"a": 10, "b": 20}, (15, 25), "epochs")


def test_a_copy_does_not_change_with_its_original() -> None:
    state = make_state()
    copy = state.copy()
    assert (copy, copy.epochs) == (state, "epochs")
    state.joins["c"] = 1
    state.generation += 1
    assert (copy.joins, copy.generation) == ({"a": 10, "b": 20}, 3)


def test_a_cut_lowers_what_is_beyond_it_in_its_partition_only() -> None:
    state = make_state()
    state.cut(lambda room: "ab".index(room), 1, 12)
    assert (state.joins, state.confirmed) == ({"a": 10, "b": 12}, (15, 12))
    state.cut(lambda room: "ab".index(room), 0, 11)
    assert (state.joins, state.confirmed) == ({"a": 10, "b": 12}, (11, 12))
    unconfirmed = RecoveryState("pid", "u1", "sid", "c1", joins={"a": 10})
    unconfirmed.cut(lambda room: 0, 0, 5)
    assert (unconfirmed.joins, unconfirmed.confirmed) == ({"a": 5}, ())


def test_every_listener_receives_a_control_message() -> None:
    class Listener:
        def __init__(self) -> None:
            self.got: list[bytes] = []

        def on_control_message(self, data: bytes) -> None:
            self.got.append(data)

    listeners, first, second = ControlListeners(), Listener(), Listener()
    listeners.on_control_message(b"to nobody")
    listeners.add(first)
    listeners.add(second)
    listeners.on_control_message(b"x")
    assert (first.got, second.got) == ([b"x"], [b"x"])
