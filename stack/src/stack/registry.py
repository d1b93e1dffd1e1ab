"""Apicurio Registry with its schemas in an H2 file, on loopback only."""

from pathlib import Path

from stack.artifacts import Source, java, programs, tree
from stack.download import Progress
from stack.process import LOOPBACK, Launch, http_ok

_HEAP_MB = 320
# WRITE_DELAY=0: an acknowledged schema survives kill -9. Relative: no character of a path is taken for a setting.
_DATABASE = "jdbc:h2:file:./schemas;WRITE_DELAY=0"
_SETTINGS = {
    "quarkus.http.host": LOOPBACK,
    # The management interface cannot be switched off at run time, and would otherwise listen on every address.
    "quarkus.management.host": LOOPBACK,
    "quarkus.http.access-log.enabled": "false",
    "quarkus.otel.sdk.disabled": "true",
    "quarkus.banner.enabled": "false",
    "quarkus.log.level": "WARN",
    'quarkus.log.category."io.apicurio".level': "WARN",
    "apicurio.storage.kind": "sql",
    "apicurio.storage.sql.kind": "h2",
    "apicurio.datasource.url": _DATABASE,
    "apicurio.datasource.jdbc.initial-size": "2",
    "apicurio.datasource.jdbc.min-size": "2",
    "apicurio.datasource.jdbc.max-size": "10",
    # Every test run registers the schemas of its own topics.
    "apicurio.ccompat.max-subjects": "100000",
}


def url(port: int) -> str:
    """Return the address of the Confluent-compatible API."""
    return f"http://{LOOPBACK}:{port}/apis/ccompat/v7"


def prepare(home: Path, ports: tuple[int, ...], source: Source, progress: Progress) -> Launch:
    """Fetch the registry and return how to start it; ``ports`` are those of the API and of its management interface.

    Raises:
        StackError: the program cannot be had.
    """
    program = tree(programs()["registry"], source, progress)
    settings = {**_SETTINGS, "quarkus.http.port": str(ports[0]), "quarkus.management.port": str(ports[1])}
    # The quick compiler only: it starts in half the time, and nothing here runs long enough to gain from the other.
    options = ("-XX:TieredStopAtLevel=1", *(f"-D{name}={value}" for name, value in settings.items()))
    return Launch(
        name="registry",
        command=(*java(home, *options, heap_mb=_HEAP_MB), "-jar", str(program / "quarkus-run.jar")),
        directory=home,
        log=home.parent / "logs" / "registry.log",
        ready=lambda: serves(ports[0]),
    )


def serves(port: int) -> bool:
    """Return whether the registry answers a request that reads its storage."""
    return http_ok(port, "/apis/ccompat/v7/subjects")
