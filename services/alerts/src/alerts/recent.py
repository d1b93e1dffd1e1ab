"""Which alerts were already given out."""

from collections import OrderedDict


class Recent:
    """The ids given out last, at most ``limit`` of them: a redelivered record does not alert twice."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, alert_id: str) -> bool:
        return alert_id in self._ids

    def add(self, alert_id: str) -> None:
        """Remember an id, and forget the one not used for longest if there are too many."""
        self._ids[alert_id] = None
        self._ids.move_to_end(alert_id)
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)
