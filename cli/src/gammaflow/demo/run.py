"""One demo from start to report: the stack, the services, the view; whatever happens, nothing is left running."""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from clickhouse_connect.driver.client import Client
from rich.console import Console

from contracts.provision import provision
from contracts.topics import TOPICS
from gammaflow import paths
from gammaflow.demo import sources
from gammaflow.demo.levels import Level, latency, latest_levels
from gammaflow.demo.progress import Progress
from gammaflow.demo.report import Report, render
from gammaflow.demo.services import PIPELINE, Services
from gammaflow.demo.view import Frame, View
from gammaflow.errors import UserError
from gammaflow.sql import connect
from gammaflow.stack_commands import say
from stack import embedded
from stack.guard import Guard

REFRESH_S = 1.0
DRAIN_S = 300.0
START_S = 60.0
# Nobody waits for single seconds of a recording: fewer transactions and inserts cost broker and engine less.
UNHURRIED = {
    "GAMMAFLOW_COMMIT_INTERVAL_MS": "1000",
    "GAMMAFLOW_COMMIT_MAX_RECORDS": "50000",
    "GAMMAFLOW_SINK_FLUSH_AGE_MS": "2000",
}
RAW_TOPICS = ("raw.deribit", "raw.binance-usdm", "raw.binance-spot")


@dataclass(slots=True)
class Demo:
    """A running demo: what it reads and shows from."""

    source: sources.Source
    services: Services
    client: Client
    progress: Progress
    view: View
    began: float = field(default_factory=time.monotonic)
    counts: dict[str, int] = field(default_factory=dict)
    counted_at: float = field(default_factory=time.monotonic)

    def elapsed_s(self) -> float:
        """Return how long the demo has been running."""
        return time.monotonic() - self.began


def run(args: argparse.Namespace) -> int:
    """Run the demo; Ctrl-C ends it early but in order, with the report."""
    check_arguments(args)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = fresh_directory()
    report = directory / "report.html"
    with ExitStack() as cleanup:
        demo = start(args, directory, cleanup)
        interrupted = watch_until_done(demo, args)
        finish(demo, interrupted=interrupted)
        write_report(demo, report)
        say("stopping")
    say(f"report: {report}")
    say('the data stays: ./run sql "SELECT second, sign_model, ngi_usd_per_pct, flip_spot FROM dealer_exposure"')
    return 0


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse combinations that make no sense, before anything is started."""
    name = sources.name_of(args)
    if name == "recorded":
        sources.require_recordings(args.path)
    if name != "recorded" and args.path is not None:
        raise UserError(f"--path goes with --source recorded, not {name}")
    if name != "recorded" and args.once and args.seconds is None:
        raise UserError(f"--source {name} never ends: give --seconds with --once")
    if args.seconds is not None and args.seconds <= 0:
        raise UserError(f"--seconds {args.seconds}: must be above 0")


def fresh_directory() -> Path:
    """Return the demo's directory, emptied: a demo begins with empty topics."""
    if embedded.running(paths.DEMO) is not None:
        raise UserError("a demo is running already: end it, or ./run down")
    shutil.rmtree(paths.DEMO, ignore_errors=True)
    paths.DEMO.mkdir(parents=True)
    return paths.DEMO


def start(args: argparse.Namespace, directory: Path, cleanup: ExitStack) -> Demo:
    """Start the stack and the services; everything started is stopped by ``cleanup``, last first."""
    endpoints = embedded.start(directory, say, die_with_starter=True)
    cleanup.callback(embedded.stop, directory)
    say("creating topics, registering schemas, starting services")
    provision(bootstrap_servers=endpoints.bootstrap_servers, registry_url=endpoints.registry_url)
    services = Services(directory, environment(endpoints, args), start_guard(directory, cleanup))
    cleanup.callback(services.stop_all)
    for name in PIPELINE:
        services.start(name)
    source = start_source(args, services)
    client = cleanup.enter_context(connected(endpoints.clickhouse_url, services))
    progress = Progress(endpoints.bootstrap_servers, endpoints.registry_url)
    cleanup.callback(progress.close)
    wait_until_ready(services)
    services.start("collector", extra=source.collector)
    return Demo(source, services, client, progress, cleanup.enter_context(View(Console())))


def wait_until_ready(services: Services) -> None:
    """Return when every service has its partitions: what came before would only measure how long they took to start."""
    for _ in wait(START_S, "a service"):
        services.revive()
        if all(services.is_running(name) for name in PIPELINE):
            return


def start_guard(directory: Path, cleanup: ExitStack) -> Guard:
    """Start what ends the services should this process be killed."""
    guard = Guard(directory / "logs" / "guard.log")
    cleanup.callback(guard.close)
    return guard


def environment(endpoints: embedded.Endpoints, args: argparse.Namespace) -> dict[str, str]:
    """Return the settings all services share."""
    return {
        **(UNHURRIED if sources.name_of(args) == "recorded" else {}),
        "GAMMAFLOW_BOOTSTRAP_SERVERS": endpoints.bootstrap_servers,
        "GAMMAFLOW_REGISTRY_URL": endpoints.registry_url,
        "GAMMAFLOW_CLICKHOUSE_URL": endpoints.clickhouse_url,
        "GAMMAFLOW_ASSIGNMENT": "0,1,2,3",
    }


def start_source(args: argparse.Namespace, services: Services) -> sources.Source:
    """Return the source, the simulator started when it is the source."""
    name = sources.name_of(args)
    if name == "recorded":
        return sources.recorded(args.path, args.kinds)
    if name == "live":
        return sources.live()
    port_file = services.directory / "simulator.port"
    services.start("stack.simulator", *simulator_arguments(args, port_file))
    return sources.simulated(wait_for_port(port_file, services), args.underlyings)


def simulator_arguments(args: argparse.Namespace, port_file: Path) -> list[str]:
    """Return the simulator's command line."""
    wishes = {
        "seed": args.seed,
        "options": args.options,
        "underlyings": args.underlyings,
        "port": 0,
        "port-file": port_file,
    }
    return [part for name, value in wishes.items() for part in (f"--{name}", str(value))]


def wait_for_port(port_file: Path, services: Services) -> int:
    """Return the port the simulator listens on."""
    for _ in wait(START_S, "the simulator"):
        if services.exit_code("stack.simulator") is not None:
            raise UserError(f"the simulator ended: {services.last_line('stack.simulator')}")
        if port_file.exists() and (text := port_file.read_text().strip()):
            return int(text)
    raise AssertionError("unreachable: wait() raises")


@contextmanager
def connected(clickhouse_url: str, services: Services) -> Iterator[Client]:
    """Yield a client, once the sink has created the tables."""
    for _ in wait(START_S, "the sink's tables"):
        services.revive()
        if tables_exist(clickhouse_url):
            break
    with connect(clickhouse_url) as client:
        yield client


def tables_exist(clickhouse_url: str) -> bool:
    """Return whether the sink's migrations have been applied."""
    with connect(clickhouse_url, database="default") as client:
        return bool(client.command("EXISTS TABLE gammaflow.v_exposure_latest"))


def wait(limit_s: float, what: str) -> Iterator[None]:
    """Yield ten times a second until the caller is content or the time is over."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)
    raise UserError(f"{what} did not come up within {limit_s:.0f} s: see ./run logs")


def watch_until_done(demo: Demo, args: argparse.Namespace) -> bool:
    """Show the run until its end; return whether it was interrupted."""
    try:
        while not ended(demo, args):
            demo.services.revive()
            show(demo, f"running ({demo.source.label})")
            time.sleep(REFRESH_S)
    except KeyboardInterrupt:
        return True
    return False


def ended(demo: Demo, args: argparse.Namespace) -> bool:
    """Return whether the source is exhausted, or the time is over."""
    code = demo.services.exit_code("collector")
    if code not in (None, 0):
        raise UserError(demo.services.last_line("collector"))
    if args.seconds is not None and demo.elapsed_s() >= args.seconds:
        return True
    return demo.source.ends and code == 0 and args.once


def finish(demo: Demo, *, interrupted: bool) -> None:
    """Stop the source and let everything it produced arrive, unless the user is in a hurry (a second Ctrl-C)."""
    demo.services.stop("collector")
    deadline = time.monotonic() + (10.0 if interrupted else DRAIN_S)
    try:
        while not demo.progress.drained(RAW_TOPICS, demo.client):
            if time.monotonic() > deadline:
                say("not everything has arrived in ClickHouse: see ./run logs")
                return
            demo.services.revive()
            show(demo, "source ended, the rest is arriving")
            time.sleep(0.3)
    except KeyboardInterrupt:
        return


def show(demo: Demo, phase: str) -> None:
    """Show the state of things, if it is time to."""
    if demo.view.is_due():
        demo.view.show(look(demo, phase))


def look(demo: Demo, phase: str) -> Frame:
    """Read everything one frame shows."""
    counts = demo.progress.ends(name for name in TOPICS if not name.endswith(".checkpoint"))
    rates = rates_of(demo, counts)
    levels = newest_levels(demo.client)
    newest = max((level.second.timestamp() + 1 for level in levels), default=None)
    return Frame(
        elapsed_s=demo.elapsed_s(),
        phase=phase,
        rates=[(name, counts[name], rates.get(name, 0.0)) for name in counts],
        lag=demo.services.lag(),
        freshness_s=None if newest is None or demo.source.ends else time.time() - newest,
        levels=levels,
        latency=None if demo.source.ends else latency(demo.client),
        restarts=sum(demo.services.restarts.values()),
        dead_letters=sum(count for name, count in counts.items() if name.endswith(".deadletter")),
    )


def newest_levels(client: Client) -> list[Level]:
    """Return the newest priced levels, and of underlyings without any the newest suppressed ones."""
    priced = latest_levels(client, priced_only=True)
    seen = {level.underlying for level in priced}
    return priced + [level for level in latest_levels(client) if level.underlying not in seen]


def rates_of(demo: Demo, counts: Mapping[str, int]) -> dict[str, float]:
    """Return records per second since the last look."""
    now = time.monotonic()
    spent = max(now - demo.counted_at, 1e-3)
    rates = {name: (counts[name] - demo.counts.get(name, 0)) / spent for name in counts}
    demo.counts, demo.counted_at = dict(counts), now
    return rates


def write_report(demo: Demo, file: Path) -> None:
    """Write the page and print its figures."""
    levels = sorted(
        latest_levels(demo.client, priced_only=True), key=lambda level: (level.underlying, level.sign_model)
    )
    fired = demo.client.query("SELECT second, message FROM alerts_events ORDER BY second LIMIT 200").result_rows
    report = Report(
        source=demo.source.label,
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        levels=levels,
        latency=None if demo.source.ends else latency(demo.client),
        rows=row_counts(demo.client),
        alerts=[f"{second:%Y-%m-%d %H:%M:%S}: {message}" for second, message in fired],
    )
    file.write_text(render(report), encoding="utf-8")
    print_summary(report)


def row_counts(client: Client) -> dict[str, int]:
    """Return the rows of every table that has any."""
    query = (
        "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() AND total_rows > 0 ORDER BY name"
    )
    return {name: rows for name, rows in client.query(query).result_rows}  # noqa: C416 - rows are typed as sequences


def print_summary(report: Report) -> None:
    """Print what the page says first."""
    for level in report.levels:
        flips = " ".join(f"{flip:,.0f}" for flip in level.flips) or level.flip_status
        print(
            f"{level.underlying} {level.sign_model} {level.second:%Y-%m-%d %H:%M:%S}: spot {level.spot:,.0f}, "
            f"NGI {level.ngi:+,.0f} USD per 1 %, VSS {level.vss:+,.0f} USD per vol point, flips {flips}, "
            f"walls {level.call_wall} / {level.put_wall}"
        )
    if report.latency is not None:
        p50_s, p99_s = report.latency.p50_s, report.latency.p99_s
        print(f"end to end: p50 {p50_s:.3f} s, p99 {p99_s:.3f} s over {report.latency.updates:,} updates")
    rows = sum(report.rows.values())
    print(
        f"{rows:,} rows in {len(report.rows)} tables; dealer_exposure {report.rows.get('dealer_exposure', 0):,}",
        file=sys.stdout,
    )
