"""Rules from YAML text: what is written is checked in full, every problem named with rule, field, value and remedy."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, get_args

import yaml

from alerts.rules import FlipCrossed, NoData, Rule, Severity

MAX_CHARACTERS: Final = 256 * 1024
MAX_RULES: Final = 100
_NAME_MAX: Final = 64

TYPES: Final[Mapping[str, type[Rule]]] = {"flip_crossed": FlipCrossed, "no_data": NoData}
"""What ``type`` may be."""


class RuleFileInvalid(Exception):
    """The rules cannot be used; ``problems`` has one line per problem: rule, field, value, remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be, both ends included."""

    low: float
    high: float
    whole: bool = True

    def admits(self, value: object) -> bool:
        """Return whether ``value`` is such a number; True and False are none."""
        kinds = int if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{'a whole number' if self.whole else 'a number'} from {self.low:g} to {self.high:g}"


RANGES: Final[Mapping[str, Range]] = {
    "persistence_s": Range(0, 86_400),
    "cool_down_s": Range(0, 86_400),
    "max_gap_s": Range(1, 3_600),
    "hysteresis_bps": Range(0, 1_000, whole=False),
}


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules written in ``text``; what a rule leaves out has its default. Raises RuleFileInvalid."""
    entries = _entries(text)
    problems = [problem for number, entry in enumerate(entries, start=1) for problem in _problems(number, entry)]
    names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    twice = sorted({name for name in names if isinstance(name, str) and names.count(name) > 1})
    problems += [f"rule {name!r}, field name: used twice; names are part of an alert's identity" for name in twice]
    if problems:
        raise RuleFileInvalid(problems)
    return tuple(_rule(entry) for entry in entries)


def _entries(text: str) -> list[Any]:
    """Return what ``rules`` lists (Any: whatever YAML holds)."""
    if len(text) > MAX_CHARACTERS:
        raise RuleFileInvalid([f"{len(text)} characters; at most {MAX_CHARACTERS} are read: remove rules"])
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RuleFileInvalid([f"not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(document, dict) or list(document) != ["rules"] or not isinstance(document["rules"], list):
        raise RuleFileInvalid(["the file must hold one key, rules, with a list of rules below it"])
    entries = document["rules"]
    if not 1 <= len(entries) <= MAX_RULES:
        raise RuleFileInvalid([f"rules: {len(entries)} rules; write 1 to {MAX_RULES}"])
    return entries


def _problems(number: int, entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return [f"rule {number}: {entry!r} is no mapping; write type, name and fields"]
    rule = f"rule {entry['name']!r}" if isinstance(entry.get("name"), str) else f"rule {number}"
    kind = TYPES.get(entry["type"]) if isinstance(entry.get("type"), str) else None
    if kind is None:
        return [f"{rule}, field type: {entry.get('type')!r}; use {' or '.join(TYPES)}"]
    known = {field.name: field for field in fields(kind)}
    problems = [
        f"{rule}, field {name}: not a field of {entry['type']}; it has {', '.join(known)}"
        for name in entry
        if name not in known and name != "type"
    ]
    problems += [
        f"{rule}, field {name}: missing; set it"
        for name, field in known.items()
        if field.default is MISSING and name not in entry
    ]
    wrong = [
        f"{rule}, field {name}: {entry[name]!r}; use {wanted}"
        for name in known
        if name in entry and (wanted := _unfit(name, entry[name])) is not None
    ]
    return problems + (wrong or _contradictions(rule, {**_defaults(kind), **entry}))


def _unfit(name: str, value: object) -> str | None:
    """Return what ``name`` may be if ``value`` is not that."""
    if name in RANGES:
        return None if RANGES[name].admits(value) else str(RANGES[name])
    if name == "severity":
        return None if value in get_args(Severity) else " or ".join(get_args(Severity))
    fits = isinstance(value, str) and 0 < len(value) <= _NAME_MAX and value.replace("_", "").replace("-", "").isalnum()
    return None if fits else f"1 to {_NAME_MAX} letters, digits, hyphens and underscores"


def _contradictions(rule: str, values: Mapping[str, Any]) -> list[str]:
    persistence_s, cool_down_s = values["persistence_s"], values["cool_down_s"]
    if persistence_s > cool_down_s:
        why = "the watch would be armed again before it has fired"
        return [f"{rule}, field cool_down_s: {cool_down_s}; {why}: use {persistence_s} (persistence_s) or more"]
    return []


def _defaults(kind: type[Rule]) -> dict[str, Any]:
    return {field.name: field.default for field in fields(kind) if field.default is not MISSING}


def _rule(entry: Mapping[str, Any]) -> Rule:
    return TYPES[entry["type"]](**{name: value for name, value in entry.items() if name != "type"})
