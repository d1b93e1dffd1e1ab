"""Wiring that contradicts itself or the topic table is refused when it is written down."""

import pytest

from streamkit.pipeline import Pipeline


def wired(**changes):
    plain = {"service": "greeks", "inputs": ("market.tickers",), "unit": "clocked_second", "clocks": ("market.clock",)}
    return Pipeline(**{**plain, "new_core": lambda _: None, **changes})


def test_a_whole_pipeline_names_everything_it_reads_and_writes():
    pipeline = wired(outputs=("options.greeks",), clock_out="options.clock")
    assert pipeline.reads == ("market.tickers", "market.clock")
    assert pipeline.writes == ("options.greeks", "options.clock", "greeks.deadletter")
    assert (pipeline.checkpoint_topic, pipeline.partitions) == ("greeks.checkpoint", 4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"inputs": ("market.nothing",)}, r"topic market\.nothing has no schemas/topics/market\.nothing\.yaml"),
        ({"service": "nobody"}, r"topic nobody\.checkpoint has no"),
        ({"outputs": ("market.tickers",)}, r"topic market\.tickers is named twice"),
        ({"inputs": ()}, "inputs is empty"),
        ({"clocks": ()}, "clocks belong to unit clocked_second"),
        ({"unit": "raw_second"}, "clocks belong to unit clocked_second"),
        ({"unit": "record", "clocks": (), "inputs": ("market.trades", "market.books")}, "no order of its own"),
        ({"inputs": ("market.instruments",)}, r"cannot be counted by a clock: market\.instruments"),
    ],
)
def test_wiring_that_cannot_work_is_refused_by_name(changes, told):
    with pytest.raises(ValueError, match=told):
        wired(**changes)
