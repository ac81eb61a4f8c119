"""The parser: the verbs, and the options that all of them have."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any, NoReturn

from surgery import __version__
from surgery.errors import BadInput

VERBS = {
    "apply": "apply passes to a model and verify the result",
    "verify": "compare a model with another, or with stored results",
    "export": "export a torch module with rewriters in force, and verify the file against it",
    "inspect": "show what is in a model: inputs and outputs, operators, size, history",
    "list": "list the rewrites that there are",
    "show": "show the page of a rewrite: what it does, its options, what it promises",
}

_STATUSES = """\
exit status: 0 done and proven, or nothing to do; 1 a negative verdict; 2 usage, or input that
can't be read; 3 refused; 4 something is missing; 70 a fault of ours; 130 interrupted"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Raises:
        BadInput: it can't be understood.
        SystemExit: it asked for --help or --version, which was printed.
    """
    parser = _Parser(
        prog="surgery",
        description="Change a model between its exporter and its compiler, and prove every cut.",
        epilog=f"'surgery VERB --help' says more.\n\n{_STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser)
    # With `prog` given, none of argparse's formatters is loaded to make it.
    verbs = parser.add_subparsers(prog="surgery", dest="verb", metavar="VERB", parser_class=_Verb, title="verbs")
    for name, summary in VERBS.items():
        verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    defaults = argparse.Namespace(json=False, quiet=False, verbose=False, debug=False, color="auto")
    arguments = parser.parse_args(words, defaults)
    if arguments.verb is None:
        raise BadInput("no verb is given", cure=f"there is: {', '.join(VERBS)}; 'surgery --help' says more")
    return arguments


class _Parser(argparse.ArgumentParser):
    """argparse's, but an error is one of ours."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise BadInput(message, cure=f"'{self.prog} --help' says what there is")


class _Verb(_Parser):
    """Asks the verb's module for its arguments once it is used, so that the others are not loaded."""

    _complete = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if not self._complete:
            self._complete = True
            verb = importlib.import_module(f"surgery.cli.{self.prog.rpartition(' ')[2]}")
            verb.add_arguments(self)
            self.set_defaults(run=verb.run)
            _add_common(self)
        return super().parse_known_args(args, namespace)


def _add_common(parser: argparse.ArgumentParser) -> None:
    # Without defaults, so that an option before the verb is not undone by the verb's parser.
    group = parser.add_argument_group("output")
    for names, meaning in (
        (("--json",), "print one JSON document and nothing else"),
        (("-q", "--quiet"), "print the last line of the result only, and errors"),
        (("-v", "--verbose"), "print every step, and lists in full"),
        (("--debug",), "print where in the program an error arose"),
    ):
        group.add_argument(*names, action="store_true", default=argparse.SUPPRESS, help=meaning)
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default=argparse.SUPPRESS,
        help="when to use colour; auto: on a terminal, unless NO_COLOR is set",
    )
    group.add_argument("--version", action="version", version=f"surgery {__version__}")
