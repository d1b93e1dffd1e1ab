"""Rounds over the contenders; what other programs disturb is measured again."""

import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from bench.stream import machine, measure
from bench.stream.job import Job
from bench.stream.measure import Failed, Latency, Material, Throughput
from bench.stream.plan import DISTURBED, Plan, Results
from bench.stream.roster import CONTENDERS, Contender

WARMER = "confluent-transactions"  # uses all the broker is asked for later: fetches, transactions, group offsets

T = TypeVar("T")


class Rounds:
    """Measures on one broker. ``broker_pids`` are its processes; ``interpreters`` those of the contenders, by name."""

    def __init__(
        self,
        *,
        plan: Plan,
        job: Callable[[str], Job],
        material: Material,
        interpreters: Mapping[str, str],
        broker_pids: Iterable[int],
        say: Callable[[str], None],
    ) -> None:
        self.others: list[float] = []  # share of the machine used by others during each measurement that counts
        self._plan = plan
        self._job = job
        self._material = material
        self._interpreters = interpreters
        self._broker_pids = tuple(broker_pids)
        self._say = say

    def warm_up(self) -> None:
        """Let the broker compile its code on a drain that is not counted, so that the first contender does not pay."""
        contender = next(contender for contender in CONTENDERS if contender.name == WARMER)
        taken = measure.throughput(contender, self._new_job(), self._material, self._plan.records, sys.executable)
        self._say(f"warm-up, {WARMER}: {taken.rate:,.0f} records/s, not counted")

    def run(self, results: Sequence[Results]) -> None:
        """Measure every contender that can run, in turn, as often as planned."""
        for number in range(1, self._plan.repeat + 1):
            for result in results:
                if result.contender.name in self._interpreters:
                    self._one(number, result)

    def _one(self, number: int, result: Results) -> None:
        title = f"round {number}, {result.contender.name}"
        try:
            result.throughputs.append(self._least_disturbed(title, result.contender, self._throughput))
            result.latencies.append(self._least_disturbed(title, result.contender, self._latency))
        except Failed as failed:
            # Not tried again: what writes wrong outputs now and then must not pass.
            result.problems.append(f"round {number}: {failed}")
            self._say(f"{title}: {failed}")

    def _least_disturbed(self, title: str, contender: Contender, take: Callable[[Contender], T]) -> T:
        attempts: list[tuple[float, T]] = []
        while len(attempts) < self._plan.attempts:
            machine.wait_until_quiet(self._plan.patience_s)
            others = machine.Others(self._broker_pids)
            figure = take(contender)
            share = others.share()
            self._say(f"{title}: {figure}" + ("" if share is None else f"; others used {share:.0%} of the machine"))
            attempts.append((share or 0.0, figure))
            if share is None or share <= DISTURBED:
                break
        share, figure = min(attempts, key=lambda attempt: attempt[0])
        self.others.append(share)
        return figure

    def _throughput(self, contender: Contender) -> Throughput:
        count = int(self._plan.records * contender.backlog_share)
        interpreter = self._interpreters[contender.name]
        return measure.throughput(contender, self._new_job(), self._material, count, interpreter)

    def _latency(self, contender: Contender) -> Latency:
        plan = self._plan
        return measure.latency(
            contender,
            self._new_job(),
            self._material,
            self._interpreters[contender.name],
            rate=plan.rate,
            seconds=plan.seconds,
            drop_s=plan.drop_s,
        )

    def _new_job(self) -> Job:
        return self._job(f"b{uuid.uuid4().hex[:10]}")
