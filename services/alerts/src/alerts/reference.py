"""The page docs/reference/alert-rules.md, written from the rules themselves; a test holds the file to it."""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Final

from alerts.rule_file import RANGES, TYPES
from alerts.rules import DEFAULTS, Rule


def page() -> str:
    """Return the page."""
    kinds = [line for name in TYPES for line in _kind(name)]
    return "\n".join([_HEAD, *_defaults(), _FIELDS, *kinds, _TAIL])


def _defaults() -> Iterator[str]:
    names = {kind: name for name, kind in TYPES.items()}
    for rule in DEFAULTS:
        yield f"  - type: {names[type(rule)]}"
        yield from (f"    {name}: {value}" for name, value in _set_fields(rule))


def _set_fields(rule: Rule) -> Iterator[tuple[str, object]]:
    for field in fields(rule):
        value = getattr(rule, field.name)
        if field.default is MISSING or value != field.default:
            yield field.name, value


def _kind(name: str) -> Iterator[str]:
    kind = TYPES[name]
    yield f"\n### {name}\n\n{kind.__doc__}\n\n| field | default | values | meaning |\n| --- | --- | --- | --- |"
    for field in fields(kind):
        default = "required" if field.default is MISSING else f"`{field.default}`"
        values = RANGES.get(field.name, "text")
        yield f"| `{field.name}` | {default} | {values} | {field.metadata['doc']} |"


_HEAD: Final = """# Alert rules

What `alerts` watches. These are built in; a YAML file of the same form, named by `GAMMAFLOW_ALERTS_RULES_FILE`, takes
their place. A field that is left out has its default.

```yaml
rules:"""

_FIELDS: Final = """```

## Types"""

_TAIL: Final = """
`cool_down_s` must not be below `persistence_s`. A file with any problem is refused as a whole, each problem named with
rule, field, value and remedy.

## When a rule fires, and when it does not

* Calm comes first: a crossing or a hole counts only if the `cool_down_s` before it were calm. It is counted from the
  last crossing or hole, announced or not, so chatter around a level and a flapping feed are one alert. The alert ends
  (`cleared`) after as much calm.
* So nothing fires in the first `cool_down_s` of a log, nor after a hole that hides which side spot came from.
* `flip_crossed` looks at seconds with exactly one flip (`flip_status` ok). A flip that moves across spot is a crossing
  like any other. `second` is the one in which it was seen (after `persistence_s`).
* `no_data` measures from a venue's last second with a record. Venues of an underlying that fall silent in the same
  second are one alert. `second` is the last one with data plus `persistence_s`, whether the hole was seen in the log or
  by the wall clock because no clock record came at all.
* The wall clock is only asked in the live run. When it was wrong (the pipeline stood still, the data came late), the
  alert is cleared by the next second with data.
* Not seen by `no_data`: an underlying of which no clock record was ever read; and a venue that lets the collector
  connect again and again but sends nothing, because the collector's connection events are records, too.

This page is generated: `python -c "from alerts.reference import page; print(page(), end='')"`.
"""
