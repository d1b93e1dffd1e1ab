"""Settings of alerts, from the environment."""

from pathlib import Path

from pydantic import Field, field_validator

from alerts.rule_file import RuleFileInvalid, parse_rules
from alerts.rules import DEFAULTS, Rule
from streamkit.settings import ServiceSettings


class AlertSettings(ServiceSettings):
    """Every service's settings and GAMMAFLOW_ALERTS_*.

    Those of transactions and checkpoints have no effect here, nor has ``assignment``: Faust always joins its group.
    """

    rules_file: Path | None = Field(
        default=None,
        validation_alias="GAMMAFLOW_ALERTS_RULES_FILE",
        description="a YAML file of rules as in docs/reference/alert-rules.md, in place of the built-in ones",
    )
    read_back_s: int = Field(
        default=900,
        ge=0,
        le=86_400,
        validation_alias="GAMMAFLOW_ALERTS_READ_BACK_S",
        description="recorded seconds read again at a start to restore what was known, 0 to 86400",
    )
    remember_alerts: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        validation_alias="GAMMAFLOW_ALERTS_REMEMBER_ALERTS",
        description="alert ids kept in memory so that none is given out twice, 1 to 1000000",
    )

    @field_validator("rules_file")
    @classmethod
    def _usable(cls, value: Path | None) -> Path | None:
        if value is not None:
            _read(value)
        return value

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules of the file, or the built-in ones."""
        return DEFAULTS if self.rules_file is None else _read(self.rules_file)


def _read(path: Path) -> tuple[Rule, ...]:
    """Return the rules in ``path``; raises ValueError that names every problem, which settings turn into one line."""
    try:
        return parse_rules(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    except RuleFileInvalid as invalid:
        raise ValueError(str(invalid)) from invalid
