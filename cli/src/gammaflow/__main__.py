"""``./run``: one table of commands; an error a person can mend ends with one line and exit code 2."""

import argparse
import os
import sys
from collections.abc import Sequence

from contracts.provision import ProvisionError
from gammaflow import (
    bench,
    checks,
    demo,
    doctor,
    implied_vol,
    normalize,
    price,
    record,
    settle,
    sql,
    stack_commands,
    surface,
    topics,
)
from gammaflow.errors import UserError
from gammaflow.interface import Command
from stack.errors import StackError

COMMANDS: Sequence[Command] = (
    demo.COMMAND,
    checks.TEST,
    checks.CHECK,
    stack_commands.UP,
    stack_commands.DOWN,
    stack_commands.STATUS,
    stack_commands.LOGS,
    sql.COMMAND,
    topics.COMMAND,
    record.COMMAND,
    normalize.COMMAND,
    doctor.COMMAND,
    price.COMMAND,
    implied_vol.COMMAND,
    surface.COMMAND,
    settle.COMMAND,
    bench.COMMAND,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="./run", description="Dealer-flow levels of crypto options, second by second."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.help)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run, passes_on=command.passes_on)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments; what a command does not know is refused unless it passes it on."""
    parser = build_parser()
    args, args_left = parser.parse_known_args(argv)
    if args_left and not args.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(args_left)}")
    args.passed_on = args_left
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 a check failed, 2 something the caller can mend."""
    args = parse(argv)
    try:
        code: int = args.run(args)
    except (UserError, StackError, ProvisionError) as error:
        print(f"gammaflow: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output (head, less) has seen enough; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("gammaflow: stopped", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
