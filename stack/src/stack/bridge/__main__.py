"""``python -m stack.bridge``: serve one data directory on a loopback port until SIGTERM or SIGINT."""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from aiohttp import web

from stack.bridge.engine import Engine, open_engine
from stack.bridge.errors import EngineError
from stack.bridge.server import Bridge, application
from stack.bridge.settings import Limits

_LOG = logging.getLogger("stack.bridge")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; return 0 after a clean stop, 2 if it cannot start (one line says why)."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        limits = Limits(**{f.name: getattr(options, f.name) for f in fields(Limits)})
        with open_engine(options.data_dir) as engine:
            asyncio.run(_serve(engine, options, limits))
    except (ValueError, EngineError) as error:
        print(f"bridge: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"bridge: cannot listen on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stack.bridge", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", choices=_LOOPBACK, help="a development server: loopback only")
    parser.add_argument("--port", type=int, default=8123, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port once requests are answered")
    parser.add_argument("--data-dir", type=Path, required=True, help="the engine's data directory, made if missing")
    for limit in fields(Limits):
        flag = f"--{limit.name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=limit.default, help=f"default {limit.default}")
    return parser


async def _serve(engine: Engine, options: argparse.Namespace, limits: Limits) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    spool = engine.data_dir / "bridge-spool"
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    bridge = Bridge(engine, limits, spool)
    runner = web.AppRunner(
        application(bridge),
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        max_line_size=limits.max_url_bytes,
        max_field_size=1 << 16,
        read_bufsize=1 << 20,
        shutdown_timeout=limits.stop_grace,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port)
        await site.start()
        _announce(runner, options)
        sweeper = asyncio.create_task(bridge.sweep())
        await stopping.wait()
        _LOG.info("stopping")
        sweeper.cancel()
        await site.stop()
        await bridge.stop()
    finally:
        await runner.cleanup()
        shutil.rmtree(spool, ignore_errors=True)


def _announce(runner: web.AppRunner, options: argparse.Namespace) -> None:
    port = runner.addresses[0][1]
    _LOG.info("ClickHouse HTTP interface on http://%s:%d, data in %s", options.host, port, options.data_dir)
    if options.port_file:
        # Whoever waits for the file must never read half of it.
        part = options.port_file.with_suffix(".part")
        part.write_text(f"{port}\n", encoding="ascii")
        part.replace(options.port_file)


if __name__ == "__main__":
    sys.exit(main())
