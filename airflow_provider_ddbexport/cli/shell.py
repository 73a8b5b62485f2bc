"""``ddbexport``: the core from a shell.

Exit status: 0 fine, 1 the data is bad (or a service failed), 2 the call is bad, 130 interrupted. Results go to
standard output, progress and errors to standard error; with ``--json`` both are JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

import airflow_provider_ddbexport
from airflow_provider_ddbexport.cli import columns, replacing
from airflow_provider_ddbexport.errors import BadCallError, DdbExportError, ServiceError

_MOST_PORT = 65_535

FINE, BAD_DATA, BAD_CALL, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in *argv* (default: this process's arguments) and return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    as_json = "--json" in arguments
    try:
        args = _parsed(arguments)
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output (`| head`) has enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt as error:
        next_step = "; ".join(_notes(error)) or "the same command again finishes what is left"
        _tell(sys.stderr, "Interrupted", f"interrupted; {next_step}", {}, as_json)
        return INTERRUPTED
    except DdbExportError as error:
        _tell(sys.stderr, type(error).__name__, "; ".join([str(error), *_notes(error)]), error.context, as_json)
        return BAD_CALL if _is_bad_call(error) else BAD_DATA
    except OSError as error:
        refusal = f"this machine refused: {error}"
        _tell(sys.stderr, type(error).__name__, "; ".join([refusal, *_notes(error)]), {}, as_json)
        return BAD_DATA
    return status


def _is_bad_call(error: DdbExportError) -> bool:
    if isinstance(error, ServiceError):
        from airflow_provider_ddbexport.core.service import is_refusal

        return is_refusal(error)
    return isinstance(error, BadCallError)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what *arguments* say. Raises BadCallError."""
    parser = build_parser()
    args, left = parser.parse_known_args(arguments)
    # Before Python 3.13 argparse takes an optional argument for missing where an option stands before it.
    if len(left) == 1 and not left[0].startswith("-") and getattr(args, "destination", "") is None:
        args.destination = left.pop()
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    return args


def _notes(error: BaseException) -> list[str]:
    """Return what the command has to say to *error*."""
    return getattr(error, "__notes__", [])


class _Parser(argparse.ArgumentParser):
    """Raises what argparse would print and exit with, so that it is told as every other error is."""

    def error(self, message: str) -> NoReturn:
        raise BadCallError(f"{message} (see `{self.prog} --help`)")


def build_parser() -> argparse.ArgumentParser:
    from airflow_provider_ddbexport.cli import commands
    from airflow_provider_ddbexport.cli import diff as cli_diff
    from airflow_provider_ddbexport.cli import merge as cli_merge
    from airflow_provider_ddbexport.cli import plan as cli_plan
    from airflow_provider_ddbexport.cli import scan as cli_scan
    from airflow_provider_ddbexport.cli import strays as cli_strays

    shared = _shared_options()
    parser = _Parser(
        prog="ddbexport",
        description="DynamoDB exports as verified, queryable Parquet snapshots.",
        epilog="Exit status: 0 fine, 1 the data is bad, 2 the call is bad.",
        parents=[shared],
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, and which decoder is in use")
    parser.set_defaults(run=lambda _args: parser.error("which command?"))
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=_Parser)

    def command(name: str, run: Callable[[argparse.Namespace], int], help_text: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=help_text, description=help_text, parents=[shared])
        sub.set_defaults(run=run)
        return sub

    source_help = "folder of an export, …/AWSDynamoDB/<ExportId>: a path or s3://"
    lake_help = "folder that holds the tables' snapshots: a path or s3://"

    verify = command("verify", commands.verify, "Read all of an export and check it against its manifests.")
    verify.add_argument("source", metavar="SOURCE", help=source_help)
    _accept_option(verify)

    convert = command("convert", commands.convert, "Verify an export, convert it to Parquet, publish the snapshot.")
    convert.add_argument("source", metavar="SOURCE", help=source_help)
    convert.add_argument("lake", metavar="LAKE", help=lake_help)
    _accept_option(convert)
    _convert_options(convert)

    snapshots = command("snapshots", commands.snapshots, "List the published snapshots.")
    snapshots.add_argument("lake", metavar="LAKE", help=lake_help)
    snapshots.add_argument("--table", metavar="NAME", help="of this table only; much faster in a large lake")

    items = command("items", commands.items, 'Print the items of a snapshot, one {"Item":…} a line.')
    items.add_argument("lake", metavar="LAKE", help=lake_help)
    items.add_argument("--table", metavar="NAME", required=True, help="the table's folder in the lake")
    items.add_argument(
        "--at", metavar="TIME", help="which snapshot, as `ddbexport snapshots` names it; default: newest"
    )

    cli_scan.add_commands(command)
    cli_plan.add_command(command)
    cli_diff.add_command(command)
    cli_merge.add_command(command)
    cli_strays.add_command(command)

    local = command("local", commands.local, "Serve an embedded AWS for trying things out; end it with Ctrl-C.")
    local.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    local.add_argument("--port", type=_port, default=5000, help="0 takes a free one (default %(default)s)")
    local.add_argument("--seed", action="store_true", help="begin with a Reviews table and a month of its history")
    return parser


class _Version(argparse.Action):
    """Told only when asked, because it takes loading the decoder."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from airflow_provider_ddbexport.core import decoder

        print(f"ddbexport {airflow_provider_ddbexport.__version__}, {decoder.describe()}")
        parser.exit()


def _shared_options() -> _Parser:
    """Return the options that may stand before or after the command."""
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--json", action="store_true", help="results and errors as JSON")
    aws = shared.add_argument_group("AWS (for s3:// addresses and live tables)")
    aws.add_argument("--endpoint-url", metavar="URL", help="another S3 than Amazon's, such as `ddbexport local`")
    aws.add_argument("--region", metavar="NAME")
    aws.add_argument("--profile", metavar="NAME", help="of the AWS configuration files")
    aws.add_argument("--expected-bucket-owner", metavar="ACCOUNT", help="refuse buckets of any other account")
    return shared


def _accept_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--accept-edited-summary",
        action="store_true",
        help="take a summary that differs from its md5 because somebody edited it; everything else is checked",
    )


def _convert_options(convert: argparse.ArgumentParser) -> None:
    columns.add_options(convert)
    convert.add_argument(
        "--sort-by",
        metavar="ATTR",
        action="append",
        default=[],
        help="attribute by which the rows of each part are sorted, such as the table's key; repeatable",
    )
    convert.add_argument(
        "--workers",
        metavar="N",
        type=columns.positive,
        default=1,
        help="threads; processes where the reference decoder reads (default %(default)s)",
    )
    replacing.add_options(convert)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_PORT:
        raise argparse.ArgumentTypeError(f"expected a port, 0 to {_MOST_PORT}, found {text!r}")
    return int(text)


def _tell(stream: TextIO, kind: str, message: str, context: dict[str, Any], as_json: bool) -> None:
    """Write an error as one line."""
    line = " ".join(message.split())
    if as_json:
        error = {"type": kind, "message": line, "context": context}
        text = json.dumps({"error": error}, default=str, ensure_ascii=False)
    else:
        red, plain = ("\x1b[1;31m", "\x1b[0m") if stream.isatty() and not os.environ.get("NO_COLOR") else ("", "")
        text = f"{red}ddbexport:{plain} {line}"
    stream.write(text + "\n")
