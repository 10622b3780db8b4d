"""How far a server is in a partition's history, and which epoch that is in."""

from __future__ import annotations

from tradecast.delivery.redis.cursor import PartitionCursor


def cursor(position: int = 50, epoch: str = "a") -> PartitionCursor:
    made = PartitionCursor()
    assert made.enter_epoch(epoch, "", 0) is None  # nothing was known before
    made.advance(position)
    return made


def test_positions_only_rise() -> None:
    here = cursor(50)
    here.advance(40)
    assert here.position == 50
    here.advance(60)
    assert here.position == 60


def test_the_same_epoch_changes_nothing() -> None:
    here = cursor()
    assert here.enter_epoch("a", "z:9", 0) is None
    assert (here.position, here.lineage) == (50, {})


def test_an_epoch_that_has_the_known_one_ends_it_where_it_was_left() -> None:
    here = cursor(50)
    assert here.enter_epoch("b", "a:30 z:9", 1) == 30
    assert (here.epoch, here.position, here.lineage) == ("b", 30, {"a": 30, "z": 9})
    assert not here.has_gap


def test_an_epoch_that_has_more_than_was_delivered_leaves_the_position() -> None:
    here = cursor(50)
    assert here.enter_epoch("b", "a:70", 1) == 70
    assert here.position == 50


def test_another_history_begins_where_it_says() -> None:
    here = cursor(50)
    assert here.enter_epoch("b", "", 80) == 80
    assert (here.position, here.unread_epoch, here.has_gap) == (80, "b", False)


def test_a_history_that_is_lost_before_it_was_read_is_a_gap() -> None:
    here = cursor(50)
    here.enter_epoch("b", "", 80)
    here.enter_epoch("c", "", 90)
    assert here.has_gap
    here.gap_is_repaired()
    assert (here.has_gap, here.unread_epoch) == (False, None)


def test_what_is_malformed_in_a_lineage_is_ignored() -> None:
    here = cursor()
    here.enter_epoch("b", "a:30 x:-1 y z:９ w:8", 1)
    assert here.lineage == {"a": 30, "w": 8}


def test_scripts_get_the_highest_id_known_here() -> None:
    here = cursor(50)
    assert here.script_arguments("run")[1:] == (50, "run")
    here.floor = 60
    assert here.script_arguments("")[1:] == (60, "")
