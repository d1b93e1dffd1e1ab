"""The collector's README names every setting with its default."""

from pathlib import Path

import pytest

from collector.settings import Settings

README = (Path(__file__).parents[2] / "services" / "collector" / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_is_documented(name: str) -> None:
    alias = Settings.model_fields[name].validation_alias

    assert f"`{alias if isinstance(alias, str) else name.upper()}`" in README


def test_the_documented_limit_of_a_frame_is_the_one_in_force() -> None:
    assert f"{Settings.model_fields['max_frame_bytes'].default:,}" in README
