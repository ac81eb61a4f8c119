"""Find rewrites by name, list them without importing them, and read their options from text.

Packages announce themselves by the entry point group ``onnx_surgery.rewrites``; ours does
as any third party's. In such a package, and in its ``passes`` and ``functions``, every
module that defines a `Pass` or a `Rewriter` is a rewrite, named after its file. Names,
summaries and options are read from the files' syntax trees: nothing is imported until a
rewrite is used.
"""

from __future__ import annotations

import ast
import functools
import glob
import importlib
import importlib.util
import os
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from surgery.errors import BadInput, Missing, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from surgery.authoring import Pass
    from surgery.rewriting import Rewriter

GROUP = "onnx_surgery.rewrites"
_BASES = {"Pass": "pass", "Rewriter": "rewriter"}


# Named tuples, for the import of dataclasses would be a tenth of the time that `surgery list` takes.
class Option(NamedTuple):
    """An option of a rewrite, as its source writes it."""

    name: str
    type: str
    default: str
    comment: str = ""


class Entry(NamedTuple):
    """A rewrite that the registry holds.

    ``error`` says why its file can't be read; it is listed nevertheless, for it may be asked for.
    """

    name: str
    kind: str
    module: str
    file: Path
    page: str
    contract: str
    options: tuple[Option, ...]
    error: str = ""

    @property
    def summary(self) -> str:
        """The first line of the page."""
        return (self.error or self.page.strip()).partition("\n")[0]


def entries(kind: str | None = None) -> dict[str, Entry]:
    """All rewrites by name; where a pass and a rewriter share one and no `kind` is given, the pass.

    Raises:
        BadInput: two rewrites of a kind have one name; both files are named.
    """
    found: dict[str, Entry] = {}
    for entry in listed(kind):
        found.setdefault(entry.name, entry)  # of one name the pass comes first
    return found


def listed(kind: str | None = None) -> list[Entry]:
    """All rewrites, sorted by name; a pass and a rewriter may share one.

    Raises:
        BadInput: two rewrites of a kind have one name; both files are named.
    """
    return [entry for entry in _all() if kind in (None, entry.kind)]


def forget() -> None:
    """Look again for what is installed, the next time."""
    _all.cache_clear()


@functools.cache
def _all() -> list[Entry]:
    found: dict[tuple[str, str], Entry] = {}
    for package in _announced():
        for module, file in _modules(package):
            entry = _read(module, file)
            if entry is None:
                continue
            other = found.setdefault((entry.name, entry.kind), entry)
            if other.file != entry.file:
                raise BadInput(
                    f"two rewrites have the name {entry.name!r}",
                    where=f"{other.file} and {entry.file}",
                    cure="rename one of the files, or uninstall one of the packages",
                )
    return [entry for _, entry in sorted(found.items())]


def find(name: str, kind: str | None = None) -> Entry:
    """The rewrite of that name.

    Raises:
        BadInput: there is none; the message lists what there is.
    """
    known = entries(kind)
    found = known.get(name) or known.get(name.replace("_", "-"))
    if found is None:
        there = ", ".join(sorted(known)) or f"none; packages announce theirs by the entry points {GROUP}"
        raise BadInput(f"there is no {kind or 'rewrite'} {name!r}", cure=f"{nearest(name, known)}there is: {there}")
    return found


def make(text: str) -> Pass:
    """A pass from its name and options, as the command line has them: ``gridsample:indices=int32``.

    Raises:
        BadInput: no such pass or option, or a value of another type.
    """
    return build(*_read_options(text, "pass"))


def make_rewriter(text: str) -> Rewriter:
    """A rewriter from its name and options; see `make`."""
    name, options = _read_options(text, "rewriter")
    made: Rewriter = _build(find(name, "rewriter"), options)
    return made


def _read_options(text: str, kind: str) -> tuple[str, dict[str, Any]]:
    name, _, rest = text.partition(":")
    options = {}
    for item in rest.split(",") if rest else ():
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise BadInput(
                f"an option is written name=value, not {item!r}",
                where=f"{kind} {name!r}",
                cure=f"'surgery show {name}' lists its options; several are written {name}:a=1,b=2",
            )
        options[key] = value
    return name, options


def build(name: str, options: dict[str, Any]) -> Pass:
    """A pass by name; options that are text are read as their fields' types ask."""
    made: Pass = _build(find(name, "pass"), options)
    return made


def _build(entry: Entry, options: dict[str, Any]) -> Any:
    made = load(entry)
    fields = made.fields()
    typed = {}
    for given, value in options.items():
        key = given.replace("-", "_") if given not in fields else given
        try:
            text = isinstance(value, str) and key in fields
            typed[key] = _parse(value, fields[key], f"option {key!r} of {entry.kind} {entry.name!r}") if text else value
        except BadInput as error:
            error.cure = f"'surgery show {entry.name}' says what it can be"
            raise
    return made(**typed)


def load(entry: Entry) -> type[Any]:
    """Import a rewrite and return its class: of a `Pass`, or of a `Rewriter`.

    Raises:
        Missing: something that it imports is not installed.
        BadInput: the file can't be read, or is no rewrite.
    """
    if entry.error:
        raise BadInput(entry.error, where=str(entry.file))
    try:
        module = importlib.import_module(entry.module)
    except ImportError as error:
        raise Missing(
            f"{entry.kind} {entry.name!r} can't be loaded: {error}",
            where=str(entry.file),
            cure="install what it imports; the package that brings it may have an extra for that",
        ) from error
    except Exception as error:  # it is another's code
        what = f"{entry.kind} {entry.name!r} can't be loaded: {type(error).__name__}: {error}"
        raise BadInput(what, where=str(entry.file), cure="this is a fault of that file; --debug shows where") from error
    from surgery.authoring import Rewrite

    classes = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, Rewrite) and c._kind == entry.kind and c.__module__ == module.__name__
    ]
    if len(classes) != 1:
        several = {"pass": "passes", "rewriter": "rewriters"}[entry.kind]
        raise BadInput(
            f"the file defines {len(classes)} {several}, not one",
            where=str(entry.file),
            cure="give each a file of its own",
        )
    try:
        classes[0].fields()
    except Exception as error:  # of reading the annotations
        raise BadInput(f"the options of {entry.name!r} can't be read: {error}", where=str(entry.file)) from error
    return classes[0]


def resolve(passes: Sequence[str | Pass]) -> list[Pass]:
    """Passes given by name or as objects.

    Raises:
        BadInput: one of them is neither.
    """
    if isinstance(passes, str) or not isinstance(passes, Iterable):
        raise BadInput(f"passes are a list, not {passes!r}", cure='a list of names or Pass objects: ["gridsample"]')
    return [make(p) if isinstance(p, str) else _instance(p) for p in passes]


def _instance(one: Any) -> Pass:
    from surgery.authoring import Pass

    if isinstance(one, Pass):
        return one
    if isinstance(one, type) and issubclass(one, Pass):
        raise BadInput(f"{one.__name__} is the class of a pass", cure=f"give a pass: {one.__name__}()")
    raise BadInput(f"{one!r} is no pass", cure='name one ("gridsample"), or give a Pass object')


def factories() -> dict[str, str]:
    """Modules of the packages that make modules to export: name to import path; nothing is imported.

    Such a module stands in the package itself and defines ``factory``.
    """
    found: dict[str, str] = {}
    for package in _announced():
        for module, file in _modules(package):
            if module == f"{package}.{file.stem}" and "\ndef factory(" in file.read_text(encoding="utf-8"):
                found.setdefault(file.stem, module)
    return found


def _announced() -> list[str]:
    """The packages that installed distributions announce in the group.

    Read from their ``entry_points.txt`` (PyPA entry points specification): importlib.metadata
    does the same, and takes longer to import than all else that ``surgery list`` does.
    """
    packages: dict[str, None] = {}
    seen: set[str] = set()
    for folder in sys.path:
        for file in sorted(glob.glob(f"{glob.escape(folder or '.')}/*.*-info/entry_points.txt")):
            distribution = os.path.basename(os.path.dirname(file)).partition("-")[0].lower()
            if distribution in seen:
                continue  # an older copy further down the path
            seen.add(distribution)
            with open(file, encoding="utf-8") as text:
                group = ""
                for line in map(str.strip, text):
                    if line.startswith("["):
                        group = line.strip("[] ")
                    elif group == GROUP and "=" in line and not line.startswith("#"):
                        packages[line.partition("=")[2].partition(":")[0].partition("[")[0].strip()] = None
    return sorted(packages)


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    """The modules of a package, and of its ``passes`` and ``functions``, not imported."""
    top, *inner = package.split(".")
    spec = importlib.util.find_spec(top)  # imports nothing: the name has no parent
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(root, *inner)
        for part in ("", "passes", "functions"):
            for file in sorted((folder / part).glob("[!_]*.py")):
                yield ".".join(filter(None, (package, part, file.stem))), file


def _read(module: str, file: Path) -> Entry | None:
    """What a file says of its rewrite; None if it defines none."""
    try:
        source = file.read_text(encoding="utf-8")
        tree = _outline(source)
    except (OSError, SyntaxError, ValueError) as error:  # not to be read; no Python; no text
        kind = "rewriter" if module.rpartition(".")[0].endswith(".functions") else "pass"
        return Entry(_name(file), kind, module, file, "", "", (), error=f"can't be read: {error}")
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        kinds = [_BASES[n] for n in (ast.unparse(b).rpartition(".")[2] for b in node.bases) if n in _BASES]
        if not kinds:
            continue
        lines, options, contract = source.splitlines(), [], "Exact()"
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                kind = ast.unparse(item.annotation)
                default = ast.unparse(item.value) if item.value is not None else ""
                if item.target.id == "contract" and default:
                    contract = default
                if kind.removeprefix("typing.").startswith("ClassVar") or item.target.id.startswith("_"):
                    continue
                comment = lines[item.lineno - 1].partition("  # ")[2]
                options.append(Option(item.target.id, kind, default, comment))
            elif isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "contract":
                contract = ast.unparse(item.value)
        # A module's docstring stands at the margin, and to clean one takes the import of inspect.
        page = (ast.get_docstring(tree, clean=False) or "").strip() or ast.get_docstring(node) or ""
        return Entry(_name(file), kinds[0], module, file, page, contract, tuple(options))
    return None


def _outline(source: str) -> ast.Module:
    """The syntax tree without the bodies of functions, which are most of a file, and of no interest here."""
    kept = []
    end = source.find('"""', 3) if source.startswith('"""') else 0
    head = source[:end]
    left = -1  # the indentation of the function that this line is in, if any
    for line in source[end:].split("\n"):
        text = line.lstrip()
        if text and (left < 0 or len(line) - len(text) <= left) and text[0] not in ")]}":
            left = len(line) - len(text) if text.startswith(("def ", "async def ", "@")) else -1
        kept.append("" if left >= 0 else line)
    try:
        return ast.parse(head + "\n".join(kept))
    except SyntaxError:  # a class of methods alone, a text that looks like code
        return ast.parse(source)


def _name(file: Path) -> str:
    return file.stem.replace("_", "-")


def _parse(text: str, kind: Any, what: str) -> Any:
    """`text` as a value of the annotated type `kind`; a list is ``a;b``, a dict ``a=1;b=2``."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return next((a for a in args if str(a) == text), text)
    if origin is not None and origin not in (list, dict):  # a union: the first that can be read
        for one in args:
            if one is type(None):
                if text in ("", "none"):
                    return None
                continue
            try:
                return _parse(text, one, what)
            except BadInput:
                continue
        raise BadInput(f"{what} can't be {text!r}")
    plain = origin or kind
    try:
        if plain is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if plain in (int, float):
            return plain(text)
        if plain is list:
            return [_parse(t, args[0] if args else str, what) for t in text.split(";")] if text else []
        if plain is dict:
            key, value = args or (str, str)
            pairs = [t.partition("=") for t in text.split(";")] if text else []
            if not all(equals for _, equals, _ in pairs):
                raise ValueError
            return {_parse(k, key, what): _parse(v, value, what) for k, _, v in pairs}
    except (ValueError, KeyError):
        raise BadInput(f"{what} must be {getattr(plain, '__name__', plain)}, not {text!r}") from None
    return text
