"""What the tests of the embedded stack share: a repository that can misbehave, and components that start at once."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack import embedded
from stack.process import Launch, http_ok


@dataclass
class Repository:
    """``files`` by path; the first ``cuts[path]`` answers for a path end half way; ``resumes`` honours Range."""

    files: dict[str, bytes] = field(default_factory=dict)
    cuts: Counter[str] = field(default_factory=Counter)
    resumes: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def repository() -> Iterator[Repository]:
    """A Maven repository on loopback: downloads are tested over real HTTP."""
    repository = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = self.path.lstrip("/"), self.headers.get("Range")
            repository.requests.append((path, wanted))
            body = repository.files.get(path)
            if body is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and repository.resumes else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            cut = repository.cuts[path] > 0
            repository.cuts[path] -= cut
            self.wfile.write(body[start : (start + len(body)) // 2] if cut else body[start:])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    repository.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield repository
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Serves 200 on its port; with a file named "refuse" in its directory it ends at once instead.
TOY = """
import http.server, pathlib, sys
if pathlib.Path("refuse").exists():
    sys.exit("the toy was told to refuse")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two components that start in no time in place of the three real ones: the life of a stack without a JVM."""

    def prepare(name: str, home: Path, ports: tuple[int, ...], source: object, progress: object) -> Launch:
        command = (sys.executable, "-S", "-c", TOY, str(ports[0]))
        return Launch(name, command, home, home.parent / "logs" / f"{name}.log", lambda: http_ok(ports[0], "/"))

    toys = {
        name: embedded._Component(1, partial(prepare, name), partial(http_ok, path="/"), "127.0.0.1:{}".format)
        for name in ("kafka", "registry")
    }
    monkeypatch.setattr(embedded, "_COMPONENTS", toys)
