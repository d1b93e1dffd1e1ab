"""The partitioner agrees with Kafka's Java client."""

import pytest

from contracts.partitioning import murmur2, partition_for


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_values_of_kafkas_own_test(data: bytes, expected: int):
    """Values of apache/kafka clients UtilsTest.testMurmur2."""
    assert murmur2(data) == expected


@pytest.mark.parametrize(("underlying", "partition"), [("BTC", 2), ("ETH", 1), ("SOL", 3), ("BNB", 0)])
def test_the_four_large_underlyings_fill_the_four_partitions(underlying: str, partition: int):
    assert partition_for(underlying) == partition
