"""``python -m stack.pin``: resolve the programs' Maven coordinates afresh and write their digests to the lock file.

Run it after changing a version in :data:`WANTED`, and look at the difference before committing it.
"""

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from jgo.maven import Dependency, MavenContext

from stack.artifacts import LOCK_FILE, tree_digest, unpack
from stack.download import Pin, digest


@dataclass(frozen=True, slots=True)
class Wanted:
    """A program by its coordinates ``group:artifact:version[:packaging:classifier]``; archives bring their jars."""

    title: str
    coordinates: tuple[str, ...]
    archive: bool = False


WANTED = {
    # The broker itself needs nothing of kafka-tools; slf4j-simple logs to standard output without a configuration file.
    "kafka": Wanted("Kafka 4.3.0", ("org.apache.kafka:kafka_2.13:4.3.0", "org.slf4j:slf4j-simple:1.7.36")),
    "registry": Wanted(
        "Apicurio Registry 3.3.3", ("io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all",), archive=True
    ),
}


def main() -> None:
    """Pin everything in :data:`WANTED`."""
    with tempfile.TemporaryDirectory(prefix="gammaflow-pin-") as scratch:
        context = MavenContext(repo_cache=Path(scratch) / "repository", timeout=60)
        lock = {name: _pin(wanted, context, Path(scratch)) for name, wanted in WANTED.items()}
    LOCK_FILE.write_text(json.dumps(lock, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {LOCK_FILE}\n")


def _pin(wanted: Wanted, context: MavenContext, scratch: Path) -> dict[str, object]:
    asked = [_dependency(coordinate, context) for coordinate in wanted.coordinates]
    found = asked if wanted.archive else [d for part in context.resolver.resolve(asked) for d in part]
    paths = sorted(Path(dependency.artifact.resolve()) for dependency in found)
    files = [Pin(p.relative_to(context.repo_cache).as_posix(), p.stat().st_size, digest(p)) for p in paths]
    entry: dict[str, object] = {
        "title": wanted.title,
        "coordinates": wanted.coordinates,
        "files": [asdict(pin) for pin in files],
    }
    if wanted.archive:
        unpack(paths[0], scratch / "tree")
        entry["tree_sha256"] = tree_digest(scratch / "tree")
    return entry


def _dependency(coordinate: str, context: MavenContext) -> Dependency:
    group, artifact, version, *rest = coordinate.split(":")
    packaging, classifier = rest or ("jar", "")
    component = context.project(group, artifact).at_version(version)
    return Dependency(component.artifact(classifier, packaging), scope="compile")


if __name__ == "__main__":
    main()
