"""How long to wait before trying again: exponential with full jitter, so that many clients do not come in step."""


def full_jitter(attempt: int, *, base_s: float, cap_s: float, share: float) -> float:
    """Return the seconds to wait before the attempt after ``attempt`` failures (0, 1, …).

    ``share`` is random, uniform in [0, 1): the wait is that share of min(cap, base · 2^attempt).
    """
    return share * min(cap_s, base_s * 2.0 ** min(attempt, 62))
