"""Command line of the queue: submit pictures, follow jobs, fetch results. Speaks HTTP only."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping

from cli import commands
from cli.client import Client
from cli.cutout_options import add_cutout_options
from cli.screen import STYLES, Screen
from cli.submit import submit
from cli.trouble import Trouble, in_words

Command = Callable[[Client, Screen, argparse.Namespace], bool]
COMMANDS: Mapping[str, Command] = {
    "submit": submit,
    "status": commands.status,
    "monitor": commands.monitor,
    "list": commands.list_jobs,
    "stats": commands.stats,
    "cancel": commands.cancel,
    "retry": commands.retry,
    "download": commands.download,
    "models": commands.models,
}
INTERRUPTED = 130


def parse_arguments() -> argparse.Namespace:
    general = general_options()
    parser = argparse.ArgumentParser(description=__doc__, parents=[general])
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    parsers = {}
    for name, command in COMMANDS.items():
        words = command.__doc__
        parsers[name] = subparsers.add_parser(name, help=words, description=words, parents=[general])
    add_options_of_submit(parsers["submit"])
    for name in ("status", "cancel", "retry", "download"):
        parsers[name].add_argument("id", metavar="ID", help="the job")
    parsers["monitor"].add_argument("ids", nargs="+", metavar="ID", help="jobs")
    parsers["list"].add_argument("--status", choices=list(STYLES), help="only these")
    parsers["list"].add_argument("--limit", type=int, default=20, help="at most so many (default: 20)")
    parsers["list"].add_argument("--all", action="store_true", help="as many as there are")
    parsers["cancel"].add_argument("--force", action="store_true", help="stop it even if it has begun")
    parsers["download"].add_argument(
        "--out", metavar="DIR", default=".", help="where to save (default: here); nothing is overwritten"
    )
    defaults = argparse.Namespace(
        url=os.environ.get("QUEUE_URL") or "http://127.0.0.1:5000",
        token=os.environ.get("QUEUE_API_TOKEN", ""),
        json=False,
    )
    return parser.parse_args(namespace=defaults)


def general_options() -> argparse.ArgumentParser:
    """Options that every command has, and that may stand before it, too."""
    # Without defaults of their own, or those of the command would undo what stood before it.
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--url", help="address of the service (default: QUEUE_URL, or http://127.0.0.1:5000)")
    options.add_argument("--token", help="its API token, if it wants one (default: QUEUE_API_TOKEN)")
    options.add_argument("--json", action="store_true", help="answer in JSON")
    return options


def add_options_of_submit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, a pattern in quotes, or an address")
    parser.add_argument("--model", help="one of `models` (default: the service's)")
    parser.add_argument("--priority", choices=["low", "normal", "high"], default="normal", help="who goes first")
    parser.add_argument("--wait", action="store_true", help="follow the jobs until they have ended")
    parser.add_argument("--out", metavar="DIR", help="wait, and save the results here; nothing is overwritten")
    parser.add_argument("--skip-invalid", action="store_true", help="queue the good ones")
    parser.add_argument("--recursive", action="store_true", help="look into the folders inside folders, too")
    add_cutout_options(parser)


def main() -> int:
    """Run a command; 0 only when what was asked for happened."""
    args = parse_arguments()
    screen = Screen(args.json)
    try:
        done = COMMANDS[args.command](Client(args.url, args.token, screen), screen, args)
        return 0 if done else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the answer has had enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Trouble, OSError) as error:
        screen.trouble(in_words(error))
    return 1


if __name__ == "__main__":
    sys.exit(main())
