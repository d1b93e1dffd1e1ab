"""Time per record of the generated codecs and of fastavro with the same records: ``python bench/codecs.py``.

fastavro is timed as it would be used here: record to dict, dict to bytes; bytes to dict, dict to record.
"""

import io
import json
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

import fastavro

from contracts.examples import load_examples
from contracts.generated.schemas import SCHEMAS
from contracts.records import from_dict, to_dict
from contracts.wire import WIRE_HEADER_BYTES, Codecs

EXAMPLES = Path(__file__).parents[1] / "schemas/examples"
CASES = (
    ("market.tickers", "option"),
    ("raw.deribit", "option-ticker"),
    ("market.clock", "busy"),
    ("market.trades", "option-block-leg"),
    ("options.greeks", "two-priced-one-not"),
    ("dealer.exposure", "one-flip"),
)


def _best_ns(call: Callable[[], object]) -> float:
    """Best of five runs: the rest is other programs' noise."""
    count = 5_000
    return min(timeit.repeat(call, number=count, repeat=5)) / count * 1e9


def main() -> None:
    """Print a Markdown table, nanoseconds per record."""
    codecs = Codecs.offline()
    sys.stdout.write("| record | bytes | encode ns | fastavro | decode ns | fastavro |\n|---|---|---|---|---|---|\n")
    for topic, name in CASES:
        record = next(record for path, record in load_examples(EXAMPLES, topic) if path.stem == name)
        value = codecs.encode(topic, record)
        kind, schema = type(record), fastavro.parse_schema(json.loads(SCHEMAS[type(record)]))
        body = value[WIRE_HEADER_BYTES:]
        times = (
            _best_ns(lambda t=topic, r=record: codecs.encode(t, r)),
            _best_ns(lambda s=schema, r=record: fastavro.schemaless_writer(io.BytesIO(), s, to_dict(r))),
            _best_ns(lambda t=topic, v=value: codecs.decode(t, v)),
            _best_ns(lambda s=schema, b=body, k=kind: from_dict(k, fastavro.schemaless_reader(io.BytesIO(b), s, None))),
        )
        cells = " | ".join(f"{time:,.0f}" for time in times)
        sys.stdout.write(f"| {kind.__name__} | {len(value)} | {cells} |\n")


if __name__ == "__main__":
    main()
