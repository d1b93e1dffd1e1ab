"""The client's errors as ours: what may be asked again, what a person must mend, what ends the process."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamkit import kafka
from streamkit.broker import BrokerError, Refused, Truncated, Unresolved


def raised_for(code: int) -> BrokerError:
    """Return what a call raises when the client does so with ``code``."""

    def call() -> None:
        raise KafkaException(KafkaError(code))

    with pytest.raises(BrokerError) as raised:
        kafka._call(call)
    return raised.value


@pytest.mark.parametrize(
    "code", [KafkaError._TIMED_OUT, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE]
)
def test_what_passes_by_itself_is_asked_again(code):
    """A topic that was just created has no leader yet: the service that reads its bounds must not end."""
    assert type(raised_for(code)) is Unresolved
    answers = iter((KafkaException(KafkaError(code)), None))

    def ask() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "bounds"

    assert kafka._until(5.0, ask) == "bounds"


def test_what_does_not_pass_is_raised_in_the_end():
    def ask() -> None:
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))

    with pytest.raises(Unresolved):
        kafka._until(0.1, ask)


def test_a_missing_topic_is_refused_with_the_remedy():
    refused = raised_for(KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert type(refused) is Refused
    assert "contracts.provision" in str(refused)


def test_deleted_input_is_never_skipped():
    assert type(raised_for(KafkaError._AUTO_OFFSET_RESET)) is Truncated


def test_an_unknown_error_ends_the_process():
    assert type(raised_for(KafkaError.TOPIC_AUTHORIZATION_FAILED)) is BrokerError
