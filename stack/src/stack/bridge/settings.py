"""What bounds the server: every figure is a limit, none a tuning of the engine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds, all at least 1."""

    max_queries: int = 32  # running at once; more are refused with code 202
    max_sessions: int = 2048  # about 130 KiB each; a client that has gone leaves its own until session_timeout
    max_session_timeout: int = 3600
    max_query_bytes: int = 1 << 20  # a statement, without an INSERT's data
    max_url_bytes: int = 1 << 20
    max_body_bytes: int = 4 << 30  # decoded; an INSERT's is streamed and never held
    max_form_bytes: int = 64 << 20  # a multipart form (external tables) is held
    max_spool_memory: int = 8 << 20  # a result that has to be complete before it is sent goes to a file beyond this
    stop_grace: int = 10  # for running queries, when stopping

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
