"""Ids, each given once."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances.records import DistinctIds

some_ids = st.sampled_from(["", "a", "b", "a~2", "a~3", "a~2~2", "1"])


def test_an_id_that_comes_again_has_a_number_behind_it() -> None:
    ids = DistinctIds()
    assert [ids.give(each) for each in ["a", "b", "a", "a~2", "a"]] == ["a", "b", "a~2", "a~2~2", "a~3"]


def test_an_id_that_another_label_has_is_left_to_it() -> None:
    ids = DistinctIds(["a", "a~2", "7"])
    assert [ids.give("7", is_own=False), ids.give("a"), ids.give("a"), ids.give("7")] == ["7~2", "a", "a~3", "7"]


@given(st.lists(st.tuples(some_ids, st.booleans())))
def test_no_id_is_given_twice_and_what_is_a_label_s_own_stays_so(wishes: list[tuple[str, bool]]) -> None:
    own = {wish for wish, is_own in wishes if is_own}
    ids = DistinctIds(own)
    given_ids = [ids.give(wish, is_own) for wish, is_own in wishes]
    assert len(set(given_ids)) == len(wishes)
    firsts = {wish: place for place, (wish, is_own) in reversed(list(enumerate(wishes))) if is_own}
    assert all(given_ids[place] == wish for wish, place in firsts.items())
