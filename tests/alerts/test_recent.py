"""Ids given out are remembered, and only so many."""

from alerts.recent import Recent


def test_the_oldest_id_is_forgotten_and_a_renewed_one_is_not_the_oldest():
    recent = Recent(2)
    for alert_id in ("a", "b", "a", "c"):
        recent.add(alert_id)
    assert ["a" in recent, "b" in recent, "c" in recent] == [True, False, True]
