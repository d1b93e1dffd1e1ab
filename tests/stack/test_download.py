"""What ends up in the cache is what was pinned, whatever the network or the disk does."""

import fcntl
import hashlib
import io
import random
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from stack import download
from stack.artifacts import Program, Source, jars, programs, tree, tree_digest
from stack.download import Pin
from stack.errors import StackError

CONTENT = random.Random(7).randbytes(1_000_000)
PATH = "org/example/thing/1.0/thing-1.0.jar"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)


def pin(path: str, content: bytes) -> Pin:
    return Pin(path, len(content), hashlib.sha256(content).hexdigest())


def program(*pins: Pin, tree_sha256: str | None = None) -> Program:
    return Program("Thing 1.0", ("org.example:thing:1.0",), pins, tree_sha256)


def silent(line: str) -> None:
    pass


@pytest.fixture
def source(tmp_path: Path, repository: Any) -> Source:
    repository.files[PATH] = CONTENT
    return Source(tmp_path / "cache", repository.url)


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(source: Source, repository: Any) -> None:
    (first,) = jars(program(pin(PATH, CONTENT)), source, silent)
    (second,) = jars(program(pin(PATH, CONTENT)), source, silent)
    assert first == second
    assert first.read_bytes() == CONTENT
    assert repository.requests == [(PATH, None)]


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), CONTENT + b"x"])
def test_a_corrupt_cached_file_is_detected_and_fetched_again(source: Source, repository: Any, damaged: bytes) -> None:
    (path,) = jars(program(pin(PATH, CONTENT)), source, silent)
    path.write_bytes(damaged)
    jars(program(pin(PATH, CONTENT)), source, silent)
    assert path.read_bytes() == CONTENT
    assert len(repository.requests) == 2


def test_a_broken_download_is_resumed_where_it_broke(source: Source, repository: Any) -> None:
    repository.cuts[PATH] = 2
    (path,) = jars(program(pin(PATH, CONTENT)), source, silent)
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in repository.requests] == [None, "bytes=500000-", "bytes=750000-"]


def test_a_later_run_resumes_what_an_earlier_one_left(source: Source, repository: Any) -> None:
    part = source.cache / "jars" / "thing-1.0.jar.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:600_000])
    (path,) = jars(program(pin(PATH, CONTENT)), source, silent)
    assert path.read_bytes() == CONTENT
    assert repository.requests == [(PATH, "bytes=600000-")]
    assert not part.exists()


def test_a_server_that_cannot_resume_is_read_from_the_start(source: Source, repository: Any) -> None:
    repository.cuts[PATH] = 1
    repository.resumes = False
    (path,) = jars(program(pin(PATH, CONTENT)), source, silent)
    assert path.read_bytes() == CONTENT


def test_a_damaged_remainder_of_an_earlier_run_does_no_harm(source: Source) -> None:
    part = source.cache / "jars" / "thing-1.0.jar.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(600_000))
    (path,) = jars(program(pin(PATH, CONTENT)), source, silent)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("served", [CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), CONTENT + b"more", b"short"])
def test_a_file_other_than_the_pinned_one_never_gets_its_name(source: Source, repository: Any, served: bytes) -> None:
    repository.files[PATH] = served
    with pytest.raises(StackError, match=r"thing-1\.0\.jar") as error:
        jars(program(pin(PATH, CONTENT)), source, silent)
    assert "\n" not in str(error.value)
    assert not (source.cache / "jars" / "thing-1.0.jar").exists()


def test_nothing_cached_and_no_network_is_one_line_with_the_remedy(tmp_path: Path, repository: Any) -> None:
    nobody = Source(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(StackError, match=r"thing-1\.0\.jar.*GAMMAFLOW_MAVEN_URL") as error:
        jars(program(pin(PATH, CONTENT)), nobody, silent)
    assert "\n" not in str(error.value)


def test_a_file_the_repository_does_not_have_is_asked_for_once(source: Source, repository: Any) -> None:
    with pytest.raises(StackError, match="404"):
        jars(program(pin("org/example/none.jar", CONTENT)), source, silent)
    assert len(repository.requests) == 1


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="GAMMAFLOW_CACHE"):
        jars(program(pin(PATH, CONTENT)), Source(tmp_path / "file" / "cache"), silent)


def test_progress_is_said_in_tenths(source: Source) -> None:
    lines: list[str] = []
    jars(program(pin(PATH, CONTENT)), source, lines.append)
    assert lines[-1] == "Thing 1.0: fetched 1 of 1 MB"
    assert 2 <= len(lines) <= 10


def test_an_abandoned_download_ends_and_can_be_resumed(source: Source, repository: Any) -> None:
    with pytest.raises(StackError, match="abandoned"):
        jars(program(pin(PATH, CONTENT)), Source(source.cache, repository.url, lambda: True), silent)
    (path,) = jars(program(pin(PATH, CONTENT)), source, silent)
    assert path.read_bytes() == CONTENT


def test_a_second_process_waits_for_the_one_that_fills_the_cache(source: Source, repository: Any) -> None:
    source.cache.mkdir()
    waited = threading.Event()
    with (source.cache / ".jars.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        fetching = threading.Thread(
            target=jars, args=(program(pin(PATH, CONTENT)), source, lambda line: "waiting" in line and waited.set())
        )
        fetching.start()
        assert waited.wait(10)
        assert repository.requests == []
    fetching.join()
    assert (source.cache / "jars" / "thing-1.0.jar").read_bytes() == CONTENT


@pytest.fixture
def packed(repository: Any, tmp_path: Path) -> Program:
    """A program that comes as an archive of two files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (("run.jar", b"run"), ("lib/part.jar", b"part")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    path = "org/example/thing/1.0/thing-1.0-all.tar.gz"
    repository.files[path] = buffer.getvalue()
    (tmp_path / "tree" / "lib").mkdir(parents=True)
    (tmp_path / "tree" / "run.jar").write_bytes(b"run")
    (tmp_path / "tree" / "lib" / "part.jar").write_bytes(b"part")
    return program(pin(path, buffer.getvalue()), tree_sha256=tree_digest(tmp_path / "tree"))


def test_an_archive_is_unpacked_once_and_not_kept(packed: Program, source: Source, repository: Any) -> None:
    home = tree(packed, source, silent)
    assert (home / "lib" / "part.jar").read_bytes() == b"part"
    assert tree(packed, source, silent) == home
    assert len(repository.requests) == 1
    assert not list(source.cache.glob("*.tar.gz"))


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_a_damaged_tree_is_detected_and_unpacked_afresh(packed: Program, source: Source, damage: str) -> None:
    home = tree(packed, source, silent)
    part = home / "lib" / "part.jar"
    if damage == "changed":
        part.write_bytes(b"tarp")
    elif damage == "missing":
        part.unlink()
    else:
        (home / "lib" / "more.jar").touch()
    assert tree(packed, source, silent) == home
    assert part.read_bytes() == b"part"
    assert sorted(path.name for path in home.rglob("*.jar")) == ["part.jar", "run.jar"]


def test_a_tree_unlike_its_pin_is_refused(packed: Program, source: Source) -> None:
    wrong = Program(packed.title, packed.coordinates, packed.files, "0" * 64)
    with pytest.raises(StackError, match="differ from the pins"):
        tree(wrong, source, silent)


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert Source.from_environment({"GAMMAFLOW_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/x"}).cache == tmp_path
    assert Source.from_environment({"XDG_CACHE_HOME": str(tmp_path)}).cache == tmp_path / "gammaflow"
    assert Source.from_environment({"GAMMAFLOW_CACHE": ""}).cache == Path.home() / ".cache" / "gammaflow"
    assert Source.from_environment({"GAMMAFLOW_MAVEN_URL": "http://mirror/"}).repository == "http://mirror"


def test_the_lock_file_pins_the_wanted_versions() -> None:
    kafka, registry = programs()["kafka"], programs()["registry"]
    assert "kafka_2.13-4.3.0.jar" in {file.name for file in kafka.files}
    assert len({file.name for file in kafka.files}) == len(kafka.files)  # they share a directory
    assert [file.name for file in registry.files] == ["apicurio-registry-app-3.3.3-all.tar.gz"]
    assert registry.tree_sha256 is not None
    assert all(len(file.sha256) == 64 and file.size > 0 for file in (*kafka.files, *registry.files))
