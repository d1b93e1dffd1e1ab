"""``python -m bench.stream.pacer COUNT RATE SKIP``: writes the input evenly, each record stamped as it is sent.

A process of its own, so that it neither waits for the reader nor makes it wait. It leaves out the first SKIP records.
"""

import sys
import time

from bench.stream.job import Job
from bench.stream.topics import TIMEOUT_S, write, writer
from bench.stream.workload import input_lines

TICK_S = 0.001


def main(count: int, rate: float, skip: int) -> None:
    """Write records SKIP to COUNT."""
    job = Job.from_environment()
    lines = [line._replace(timestamp_ms=None) for line in input_lines(job.codecs(), count)][skip:]
    producer = writer(job)
    began, sent = time.monotonic(), 0
    while sent < len(lines):
        due = min(len(lines), int((time.monotonic() - began) * rate) + 1)
        for line in lines[sent:due]:
            write(producer, job.input, line)
        sent = due
        producer.poll(0)
        time.sleep(TICK_S)
    producer.flush(TIMEOUT_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
