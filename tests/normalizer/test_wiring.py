"""Settings and pipeline: what an operator may say, and that the wiring agrees with the topic table."""

from collections.abc import Callable

import pytest

from collector.settings import Settings as CollectorSettings
from contracts.topics import TOPICS
from normalizer.limits import Limits
from normalizer.pipeline import pipeline
from normalizer.settings import Settings
from normalizer.venues import VENUES
from streamkit.settings import SettingsRefused, load

Loaded = Callable[..., Settings]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Load the settings with these GAMMAFLOW_NORMALIZER_ variables."""

    def with_variables(**variables: str) -> Settings:
        monkeypatch.setenv("GAMMAFLOW_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
        monkeypatch.setenv("GAMMAFLOW_REGISTRY_URL", "http://127.0.0.1:8081/apis")
        for name, value in variables.items():
            monkeypatch.setenv(f"GAMMAFLOW_NORMALIZER_{name}", value)
        return load(Settings)

    return with_variables


def test_defaults_are_the_collectors_venues_and_the_limits_defaults(loaded: Loaded) -> None:
    """A venue that the collector does not write would stop the clock; the rest is the core's own default."""
    settings = loaded()
    assert settings.venues == tuple(sorted(CollectorSettings.model_fields["venues"].default))
    assert settings.limits() == Limits()


def test_every_venue_can_be_named(loaded: Loaded) -> None:
    """What the table has, the variable takes."""
    assert loaded(VENUES=",".join(VENUES)).venues == tuple(sorted(VENUES))


def test_venues_are_separated_by_commas(loaded: Loaded) -> None:
    """In any order, with blanks."""
    settings = loaded(VENUES="deribit, binance-spot")
    assert settings.venues == ("binance-spot", "deribit")


def test_every_setting_reaches_the_core(loaded: Loaded) -> None:
    """Each of the four limits that can be set."""
    settings = loaded(BOOK_DEPTH="7", STALE_QUOTE_S="8", DEDUPE_WINDOW="9", BUFFER_DELTAS="10")
    assert settings.limits() == Limits(depth=7, stale_quote_s=8, dedupe_window=9, buffer_deltas=10)


@pytest.mark.parametrize("venues", ["", "kraken", "deribit,deribit"])
def test_bad_venues_are_refused_with_the_variable_named(loaded: Loaded, venues: str) -> None:
    """None, an unknown one, one twice."""
    with pytest.raises(SettingsRefused, match="GAMMAFLOW_NORMALIZER_VENUES"):
        loaded(VENUES=venues)


def test_the_pipeline_writes_what_the_topic_table_says_the_normalizer_produces() -> None:
    """Outputs, clock, checkpoint and dead letters are exactly the topics of which it is a producer."""
    wired = pipeline(tuple(VENUES), Limits())
    own = {*wired.outputs, wired.clock_out, wired.checkpoint_topic, wired.deadletter_topic}
    assert own == {name for name, topic in TOPICS.items() if "normalizer" in topic.producers}
    assert set(wired.inputs) <= {name for name, topic in TOPICS.items() if "normalizer" in topic.consumers}
