"""Where a task starts, case by case."""

import pytest

from streamkit.broker import Bounds
from streamkit.checkpoint import Snapshot
from streamkit.recovery import Unrecoverable, decide_start


def snapshot(**positions: int) -> Snapshot:
    return Snapshot(sequence=1, positions=positions, totals=(), core=b"")


def decide(committed, begins, found=None):
    return decide_start(committed=committed, bounds={t: Bounds(b, 1_000) for t, b in begins.items()}, snapshot=found)


def test_a_first_start_begins_where_the_logs_begin():
    start = decide({"a": None, "b": None}, {"a": 0, "b": 7})
    assert (start.positions, start.committed, start.truncated) == ({"a": 0, "b": 7}, None, {"b"})


def test_a_restart_begins_at_the_checkpoint_and_replays_to_the_committed_offsets():
    start = decide({"a": 9, "b": 4}, {"a": 0, "b": 0}, snapshot(a=5, b=4))
    assert (start.positions, start.committed, start.truncated) == ({"a": 5, "b": 4}, {"a": 9, "b": 4}, frozenset())


def test_without_a_checkpoint_everything_is_replayed_from_the_start_of_the_log():
    assert decide({"a": 9}, {"a": 0}).positions == {"a": 0}


@pytest.mark.parametrize(
    ("committed", "begins", "found", "told"),
    [
        ({"a": 9}, {"a": 3}, None, "deleted before it was used"),
        ({"a": 9}, {"a": 6}, snapshot(a=5), "deleted before it was used"),
        ({"a": 4}, {"a": 0}, snapshot(a=5), "someone moved the group's offsets"),
        ({"a": None}, {"a": 0}, snapshot(a=5), "no committed offset: the group's offsets were deleted"),
        ({"a": 4, "b": None}, {"a": 0, "b": 0}, snapshot(a=4), "no committed offset for b, a new input"),
        ({"a": 4, "b": 4}, {"a": 0, "b": 0}, snapshot(a=4), r"checkpoint is of inputs \['a'\]"),
    ],
)
def test_what_does_not_fit_together_stops_the_service_with_a_remedy(committed, begins, found, told):
    with pytest.raises(Unrecoverable, match=told) as raised:
        decide(committed, begins, found)
    assert "run id" in str(raised.value)
