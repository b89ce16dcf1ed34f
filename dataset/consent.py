"""The one question that an edit asks before it changes anything."""

import argparse
import sys

from robotd.errors import StateError


def add_consent(parser: argparse.ArgumentParser, summary: str) -> None:
    """The option that gives the consent beforehand."""
    parser.add_argument("--yes", action="store_true", help=summary)


def agreed(args: argparse.Namespace, question: str) -> bool:
    """Whether a person said yes. Raises StateError where nobody can be asked."""
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise StateError(
            f"Nobody can be asked: {question}",
            "This is no terminal.",
            "Say --yes if that is what you want.",
        )
    print(question, end=" [y/N] ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
