"""A bounded memory of ids: what was seen, oldest forgotten first."""

from collections.abc import Iterable


class RecentIds:
    """Remembers the last ``size`` distinct ids."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: dict[str, None] = {}

    def add(self, identifier: str) -> bool:
        """Remember an id; False if it is remembered already."""
        if identifier in self._ids:
            return False
        self._ids[identifier] = None
        if len(self._ids) > self._size:
            del self._ids[next(iter(self._ids))]
        return True

    def dump(self) -> list[str]:
        """Return the ids, oldest first."""
        return list(self._ids)

    def load(self, identifiers: Iterable[str]) -> None:
        """Take the ids that ``dump`` returned."""
        self._ids = dict.fromkeys(identifiers)
