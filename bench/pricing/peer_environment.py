"""The environment of the peers, made once for a run, and a peer process in it: figures by contender."""

import json
import os
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from bench.pricing.peers import PACKAGES
from bench.pricing.section import Run
from bench.pricing.workload import FloatArray, Options
from bench.stream.isolation import NoEnvironment, make
from bench.stream.roster import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Seconds per option, and the largest error of the answers: of a price over the forward, of a vol over itself."""

    seconds: float
    error: float


def measured(run: Run, task: str, o: Options, price: FloatArray, *, threads: int, repeats: int) -> dict[str, Figure]:
    """Return what the peers take for ``task`` on these options; nothing for those that cannot be had."""
    path = run.directory / f"{task}-{price.size}.npz"
    np.savez(path, price=price, **{field.name: getattr(o, field.name) for field in fields(o)})
    try:
        interpreter = _interpreter(run)
    except NoEnvironment as error:
        run.say(str(error))
        return {}
    done = subprocess.run(
        [interpreter, "-m", "bench.pricing.peers", task, str(path), str(repeats)],
        cwd=ROOT,
        env=os.environ | {"NUMBA_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stderr.splitlines():
        run.say(line)
    found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    return {name: Figure(**figure) for name, figure in found.items()}


def _interpreter(run: Run) -> str:
    directory: Path = run.directory / "peers"
    ready = directory / "bin" / "python"
    return str(ready) if ready.exists() else make(directory, PACKAGES)
