"""Rules from YAML: what is taken, and that every problem is named with rule, field, value and remedy."""

from pathlib import Path

import pytest

from alerts.reference import page
from alerts.rule_file import RuleFileInvalid, parse_rules
from alerts.rules import DEFAULTS, FlipCrossed, NoData

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "alert-rules.md"

UNARMED = "the watch would be armed again before it has fired"


def problems(text):
    with pytest.raises(RuleFileInvalid) as refused:
        parse_rules(text)
    return refused.value.problems


def test_fields_are_taken_and_the_rest_has_its_default():
    text = """
    rules:
      - {type: flip_crossed, name: eth_flip, sign_model: taker_mirror, hysteresis_bps: 2, severity: critical}
      - {type: no_data, name: quiet, persistence_s: 10}
    """
    assert parse_rules(text) == (
        FlipCrossed(name="eth_flip", sign_model="taker_mirror", hysteresis_bps=2, severity="critical"),
        NoData(name="quiet", persistence_s=10),
    )


def test_the_reference_page_is_what_the_rules_say():
    assert REFERENCE.read_text() == page()


def test_the_rules_on_the_reference_page_are_the_built_in_ones():
    written = REFERENCE.read_text().split("```yaml\n")[1].split("```")[0]
    assert parse_rules(written) == DEFAULTS


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("type: flip_crossed", "rule 1, field name: missing; set it"),
        ("name: a", "rule 'a', field type: None; use flip_crossed or no_data"),
        ("{type: wall_breached, name: a}", "rule 'a', field type: 'wall_breached'; use flip_crossed or no_data"),
        ("{type: [no_data], name: a}", "rule 'a', field type: ['no_data']; use flip_crossed or no_data"),
        (
            "{type: no_data, name: a, hysteresis_bps: 3}",
            "rule 'a', field hysteresis_bps: not a field of no_data; it has name, severity, persistence_s, cool_down_s",
        ),
        (
            "{type: no_data, name: a, persistence_s: -1}",
            "rule 'a', field persistence_s: -1; use a whole number from 0 to 86400",
        ),
        (
            "{type: no_data, name: a, persistence_s: 1.5}",
            "rule 'a', field persistence_s: 1.5; use a whole number from 0 to 86400",
        ),
        (
            "{type: no_data, name: a, cool_down_s: true}",
            "rule 'a', field cool_down_s: True; use a whole number from 0 to 86400",
        ),
        (
            "{type: flip_crossed, name: a, hysteresis_bps: .nan}",
            "rule 'a', field hysteresis_bps: nan; use a number from 0 to 1000",
        ),
        (
            "{type: no_data, name: a, severity: loud}",
            "rule 'a', field severity: 'loud'; use info or warning or critical",
        ),
        (
            "{type: no_data, name: 'a|b'}",
            "rule 'a|b', field name: 'a|b'; use 1 to 64 letters, digits, hyphens and underscores",
        ),
        ("just words", "rule 1: 'just words' is no mapping; write type, name and fields"),
        (
            "{type: no_data, name: a, persistence_s: 400}",
            "rule 'a', field cool_down_s: 300; " + UNARMED + ": use 400 (persistence_s) or more",
        ),
    ],
)
def test_a_problem_is_named(fields, problem):
    assert problems(f"rules:\n  - {fields}\n") == [problem]


def test_all_problems_are_named_at_once():
    text = "rules:\n  - {type: no_data, name: a, cool_down_s: x, severity: y}\n  - {type: no_data, name: a}\n"
    found = problems(text)
    assert [line.split(":")[0] for line in found] == [
        "rule 'a', field severity",
        "rule 'a', field cool_down_s",
        "rule 'a', field name",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "one key, rules"),
        ("[1, 2]", "one key, rules"),
        ("rules: 3", "one key, rules"),
        ("rules: []\nmore: 1", "one key, rules"),
        ("rules: []", "write 1 to 100"),
        ("rules: [\n", "not YAML"),
        ("rules: !!python/object:os.system {}", "not YAML"),
        ("rules: [" + "{type: no_data, name: a}," * 101 + "]", "101 rules"),
        ("#" * 300_000, "300000 characters"),
        ("[" * 5_000, "not YAML"),
    ],
)
def test_a_file_of_another_shape_is_refused(text, part):
    (problem,) = problems(text)
    assert part in problem
