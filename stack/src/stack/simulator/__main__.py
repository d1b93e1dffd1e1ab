"""Run the simulator: ``python -m stack.simulator --help``."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from stack.simulator.exchange import Exchange
from stack.simulator.server import HOST, Server, truth_inventory
from stack.simulator.settings import Settings, parse_settings
from stack.simulator.world import World


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns 0, or 2 after one line when it cannot start."""
    settings = parse_settings(sys.argv[1:] if arguments is None else arguments, datetime.now(UTC))
    try:
        exchange = Exchange(World(settings.market), settings.faults)
        exchange.check_schedule()
    except ValueError as error:
        return _refuse(str(error))
    try:
        asyncio.run(_run(settings, exchange))
    except OSError as error:
        return _refuse(f"--port is {settings.port}, which is taken ({error.strerror}); choose another or 0")
    if settings.truth_file:
        truth = {"inventory": truth_inventory(exchange), "ledger": exchange.hub.ledger()}
        _write_whole(settings.truth_file, orjson.dumps(truth))
    return 0


async def _run(settings: Settings, exchange: Exchange) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(exchange, settings.speed)
    try:
        port = await server.listen(settings.port)
        print(f"venue simulator on {HOST}:{port}", flush=True)
        if settings.port_file:
            _write_whole(settings.port_file, str(port).encode())
        await server.run(stop)
    finally:
        await server.close()


def _refuse(message: str) -> int:
    print(f"stack.simulator: {message}", file=sys.stderr)
    return 2


def _write_whole(file: Path, content: bytes) -> None:
    """Write so that a reader sees all of it or nothing."""
    draft = file.with_name(file.name + ".part")
    draft.write_bytes(content)
    draft.replace(file)


if __name__ == "__main__":
    sys.exit(main())
