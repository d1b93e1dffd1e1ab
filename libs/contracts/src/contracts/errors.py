"""Whose fault it is: the sender's (WireError, to the dead letters) or nobody's (RegistryUnavailable, try again)."""


class WireError(ValueError):
    """A value that cannot be decoded: its sender broke the contract. ``reason`` is one of WIRE_REASONS.

    ``detail`` is one sentence with what was found and the remedy.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


WIRE_REASONS = ("truncated", "bad_magic", "unknown_schema", "wrong_schema", "malformed", "trailing_bytes")


class RegistryUnavailable(ConnectionError):
    """The schema registry does not answer or answers with a server error: retryable, no record is to blame."""


class NotProvisioned(RuntimeError):
    """The registry does not know a schema of ours: the provisioning job has not run, or ran with another version."""
