"""Kafka's Java default partitioner: murmur2 (seed 0x9747b28c) of the key's bytes, so that every client agrees."""

from functools import lru_cache

PARTITIONS = 4
_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the signed 32-bit hash of ``data`` as ``org.apache.kafka.common.utils.Utils.murmur2`` does."""
    h = (_SEED ^ len(data)) & _MASK
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - (1 << 32) if h >> 31 else h


@lru_cache(maxsize=4096)
def partition_for(underlying: str, partitions: int = PARTITIONS) -> int:
    """Return the partition of ``underlying`` (BTC, ETH, …): the same on every topic with as many partitions."""
    return (murmur2(underlying.encode()) & 0x7FFFFFFF) % partitions
