"""Sections as Markdown: the same text goes to the terminal and into docs."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.pricing.section import Section, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under what the figures were taken; ``others`` is the share of the machine other programs used, by section."""

    machine: str
    commit: str
    command: str
    date: str
    others: Sequence[float]


def page(sections: Sequence[Section], conditions: Conditions) -> str:
    """Return the whole page."""
    parts = (
        "# Benchmark: the pricing library and its peers",
        f"Written by `{conditions.command}` on {conditions.date} at commit {conditions.commit}.",
        f"Machine: {conditions.machine}. {_load(conditions.others)}",
        *map(table, sections),
        _METHOD,
    )
    return "\n\n".join(parts) + "\n"


def table(section: Section) -> str:
    """Return one section: targets, table, notes."""
    lines = [f"## {section.title}", ""]
    if section.targets:
        lines += [*map(_verdict, section.targets), ""]
    lines += [_line(section.columns), "|---" + "|---:" * (len(section.columns) - 1) + "|"]
    lines += map(_line, section.rows)
    if section.notes:
        lines += ["", *(f"* {note}" for note in section.notes)]
    return "\n".join(lines)


def _verdict(target: Target) -> str:
    return f"* Target {target.asked}: {target.measured}, {'met' if target.met else '**missed**'}."


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _load(others: Sequence[float]) -> str:
    if not others:
        return "How much other programs used of it is not known."
    return f"Other programs used {min(others):.0%} to {max(others):.0%} of it during a section."


_METHOD = """\
## Method

* A figure is the fastest of several runs, after one that is not counted: what else runs on the machine can only add to
  it. With one thread it is processor time, with more the wall clock's. Contenders of one process take turns.
* One thread means one: the environment sets every library's number of threads to 1, where it has one.
* All contenders get the same float64 arrays. What they return is compared with the right values before it is timed.
* Peers are not dependencies of this repository. They are installed into an environment made for the run; one that
  cannot be had has a note instead of a figure."""
