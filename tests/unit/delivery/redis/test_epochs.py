from __future__ import annotations

import pytest

from tradecast.delivery.ids import Offset
from tradecast.delivery.redis.epochs import join_epochs, split_epochs, translate_offset, write_epochs


def test_of_one_partition_the_epoch_is_named_whole() -> None:
    assert join_epochs(["0a1b2c3d"]) == "0a1b2c3d"
    assert join_epochs([None]) is None


def test_of_several_only_the_first_digits_are() -> None:
    assert join_epochs(["0a1b2c3d", "ff000000", None]) == "0affzz"
    assert join_epochs([None, None]) is None


@pytest.mark.parametrize("epochs", [["0a1b2c3d"], ["0a1b2c3d", None, "ff000000"], [None]])
def test_a_session_keeps_them_whole(epochs: list[str | None]) -> None:
    assert split_epochs(write_epochs(epochs), len(epochs)) == epochs


@pytest.mark.parametrize("text", ["", "a b", "a b c d"])
def test_of_another_number_of_partitions_nothing_is_known(text: str) -> None:
    assert split_epochs(text, 3) is None


class TestTranslate:
    def test_one_partition(self) -> None:
        lineage = {"older": 5, "old": 9}
        assert translate_offset(Offset("new", (20,)), ["new"], [lineage]) == Offset("new", (20,))
        assert translate_offset(Offset("old", (20,)), ["new"], [lineage]) == Offset("new", (9,))
        assert translate_offset(Offset("old", (7,)), ["new"], [lineage]) == Offset("new", (7,))
        assert translate_offset(Offset("older", (7,)), ["new"], [lineage]) == Offset("new", (5,))
        assert translate_offset(Offset("ol", (7,)), ["new"], [lineage]) is None
        assert translate_offset(Offset("new", (7,)), [None], [{}]) is None

    def test_each_partition_by_its_own_lineage(self) -> None:
        epochs = ["aa111111", "bb222222", "cc333333"]
        lineages = [{}, {"dd444444": 100}, {"ee555555": 7}]
        assert translate_offset(Offset("aaddcc", (1, 200, 3)), epochs, lineages) == Offset("aabbcc", (1, 100, 3))
        assert translate_offset(Offset("aaddee", (1, 50, 30)), epochs, lineages) == Offset("aabbcc", (1, 50, 7))
        assert translate_offset(Offset("ddbbcc", (1, 2, 3)), epochs, lineages) is None

    def test_where_a_server_had_not_heard_of_a_partition_nothing_is_said_of_it(self) -> None:
        epochs = ["aa111111", "bb222222"]
        assert translate_offset(Offset("aazz", (1, 9)), epochs, [{}, {}]) == Offset("aabb", (1, 0))
        assert translate_offset(Offset("aabb", (1, 9)), ["aa111111", None], [{}, {}]) == Offset("aazz", (1, 0))
        assert translate_offset(Offset("aabb", (1, 9)), [None, None], [{}, {}]) is None

    @pytest.mark.parametrize("epoch", ["", "a", "aabbc", "aabbcc", "zz"])
    def test_of_another_number_of_partitions(self, epoch: str) -> None:
        assert translate_offset(Offset(epoch, (1, 9)), ["aa111111", "bb222222"], [{}, {}]) is None
