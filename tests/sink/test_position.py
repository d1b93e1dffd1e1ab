"""Where to go on: behind what has rows and what was refused right after it, never further."""

from hypothesis import given
from hypothesis import strategies as st

from sink.position import NOTHING, Refused, last_done


def refusals(*pairs):
    return [Refused("t", 0, offset, after) for offset, after in pairs]


def test_without_refusals_the_table_decides() -> None:
    assert last_done(41, []) == 41
    assert last_done(NOTHING, []) == NOTHING


def test_a_refused_tail_is_passed() -> None:
    assert last_done(5, refusals((6, 5), (9, 6))) == 9


def test_a_refused_record_at_the_very_start_is_passed() -> None:
    assert last_done(NOTHING, refusals((0, NOTHING))) == 0


def test_refusals_inside_what_is_stored_do_not_move_it_back() -> None:
    assert last_done(20, refusals((6, 5), (9, 8))) == 20


def test_a_table_that_was_emptied_is_filled_from_the_start() -> None:
    """A refusal from before, at offset 6 behind 5, says nothing about the rows that are gone."""
    assert last_done(NOTHING, refusals((6, 5), (7, 6))) == NOTHING


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=30), st.integers(0, 30))
def test_after_a_crash_anywhere_nothing_is_read_twice_and_nothing_skipped(steps, crash) -> None:
    """Records at rising offsets with holes, some refused; the process dies after any number of them."""
    done, stored, refused = NOTHING, NOTHING, []
    for hole, is_good in steps[:crash]:
        offset = done + hole
        if is_good:
            stored = offset
        else:
            refused.append(Refused("t", 0, offset, done))
        done = offset
    assert last_done(stored, refused) == done
