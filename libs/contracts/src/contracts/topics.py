"""Every topic of the contract (``TOPICS`` by logical name, a constant per name), and names within a replay run.

A replay writes its results beside the live ones: topic ``market.trades`` of run ``r7`` is ``run-r7.market.trades``.
Raw topics are the input of every run and never carry a prefix.
"""

import re

from contracts.generated.topics import *  # noqa: F403 - the generated module lists them in __all__

MAX_RECORD_BYTES = 8 * 2**20
"""Largest record, key and headers included, on any topic but dead letters: what a producer is set to."""

MAX_DEAD_LETTER_BYTES = MAX_RECORD_BYTES + 2**20
"""A dead letter holds the refused record whole, with its reason."""

_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_PREFIX = re.compile(rf"run-{_RUN_ID.pattern}\.")


def physical(topic: str, run_id: str) -> str:
    """Return the name under which a run keeps the logical ``topic``; ``run_id`` "" is the live run.

    Raises ValueError for a run id that is not 1 to 32 lower-case letters, digits and hyphens.
    """
    if not run_id or topic.startswith("raw."):
        return topic
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(f"run_id {run_id!r}: use 1 to 32 lower-case letters, digits and hyphens, no hyphen first")
    return f"run-{run_id}.{topic}"


def logical(name: str) -> str:
    """Return the topic's name without the prefix of a run."""
    return _PREFIX.sub("", name, count=1)
