"""The parser: the verbs, and the options that all of them have."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any, NoReturn

from surgery import __version__
from surgery.errors import BadInput, nearest

VERBS = {
    "apply": "apply passes to a model and verify the result",
    "verify": "compare a model with another, or with stored results",
    "export": "export a torch module with rewriters in force, and verify the file against it",
    "inspect": "show what is in a model: inputs and outputs, operators, size, history",
    "check": "find what a target would refuse or compute wrongly",
    "prepare": "make a model fit for a target's compiler: model, command, proof",
    "compile": "compile what was prepared, run it, compare it with the model before surgery",
    "extract": "take a part out of a model, between tensors and others",
    "list": "list the rewrites and targets that there are",
    "show": "show the page of a rewrite, or the rules of a target",
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
        raise BadInput(message, cure=self._help())

    def _help(self) -> str:
        return f"'{self.prog} --help' says what there is"


class _Verb(_Parser):
    """Asks the verb's module for its arguments once it is used, so that the others are not loaded."""

    _complete = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but what is left over is told by the verb, which knows its options."""
        if not self._complete:
            self._complete = True
            verb = importlib.import_module(f"surgery.cli.{self.prog.rpartition(' ')[2]}")
            verb.add_arguments(self)
            self.set_defaults(run=verb.run)
            _add_common(self)
        found, left = super().parse_known_args(args, namespace)
        if left:
            options = [name for name in self._option_string_actions if name.startswith("--")]
            hint = nearest(left[0].partition("=")[0], options) if left[0].startswith("--") else ""
            raise BadInput(f"unrecognized arguments: {' '.join(left)}", cure=f"{hint}{self._help()}")
        return found, left


def _add_common(parser: argparse.ArgumentParser) -> None:
    # Without defaults, so that an option before the verb is not undone by the verb's parser.
    group = parser.add_argument_group("output")
    for names, meaning in (
        (("--json",), "print one JSON document and nothing else"),
        (("-q", "--quiet"), "print one line of the result, and errors"),
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
