"""The layers hold: an import only points down, and what need not be loaded is not."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    "__main__",
    "cli",
    "render",
    "testing",
    "targets",
    "exporter",
    "contents",
    "parts",
    "engine",
    "verification",
    "passes",
    "names",
    "graphsurgeon",
    "provenance",
    "equivalence",
    "registry",
    "rewriting",
    "authoring",
    "match",
    "respelling",
    "op",
    "spelling",
    "extents",
    "inference",
    "partial",
    "older",
    "views",
    "schemas",
    "optimizers",
    "clean",
    "edit",
    "order",
    "pending",
    "fold",
    "shapes",
    "contract",
    "lookup",
    "model",
    "draft",
    "weights",
    "losses",
    "nested",
    "reading",
    "sound",
    "protos",
    "wire",
    "report",
    "errors",
    "deferred",
)
# Names used in annotations alone, which no module imports when it runs.
ANNOTATED = {
    *(("spelling", "op"), ("older", "op")),  # a spelling is handed the Op that it writes with
    *(("inference", "extents"), ("partial", "extents")),  # and a rule of operators what is known of their inputs
}
HEAVY = ("numpy", "onnx", "onnx_ir", "rich", "torch", "onnxruntime")


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module of a package: its dotted name and its syntax tree."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What a module imports, anywhere in it: the line and the full dotted name."""
    is_package = (ROOT / Path(*name.split(".")) / "__init__.py").exists()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parents = name.split(".")
                above = parents[: len(parents) - node.level + is_package]
                source = ".".join([*above, source]) if source else ".".join(above)
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def typing_only(tree: ast.Module) -> set[int]:
    """The lines under ``if TYPE_CHECKING``."""
    blocks = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    return {line for block in blocks for line in range(block.lineno, (block.end_lineno or 0) + 1)}


def layer(name: str) -> int | None:
    """The place in `LAYERS` of what is imported or imports; None where it is `surgery` itself."""
    part = name.split(".")[1] if "." in name else ""
    return LAYERS.index(part) if part in LAYERS else None


def test_every_module_has_a_layer() -> None:
    found = {name.split(".")[1] for name, _ in modules("surgery") if "." in name}
    assert found <= set(LAYERS), "give the new module its place in LAYERS"


def test_imports_point_down() -> None:
    wrong = []
    for name, tree in modules("surgery"):
        here = layer(name)
        for line, imported in imports(name, tree):
            if imported.split(".")[0] != "surgery" or here is None:
                continue  # surgery/__init__.py gives names on demand, from any layer
            there = layer(imported)
            if imported == "surgery.__version__" or (there is not None and there >= here):
                continue
            if there is not None and (LAYERS[here], LAYERS[there]) in ANNOTATED and line in typing_only(tree):
                continue
            wrong.append(f"{name}, line {line}: {imported}")
    assert not wrong, "\n".join(["these imports point up:", *wrong])


def test_surgery_does_not_know_its_rewrites() -> None:
    wrong = [
        f"{name}, line {line}: {imported}"
        for name, tree in modules("surgery")
        for line, imported in imports(name, tree)
        if imported.split(".")[0] in ("rewrites", "fixtures", "tests", "benchmarks")
    ]
    assert not wrong, "\n".join(wrong)


def test_rewrites_use_public_names_only() -> None:
    import surgery

    public = {"surgery", *(f"surgery.{name}" for name in surgery.__all__)}
    wrong = [
        f"{name}, line {line}: {imported}"
        for name, tree in modules("rewrites")
        for line, imported in imports(name, tree)
        if imported.split(".")[0] == "surgery" and imported not in public
    ]
    assert not wrong, "\n".join(wrong)


def test_public_names_exist() -> None:
    import surgery

    assert sorted(set(surgery.__all__)) == sorted(surgery.__all__)
    for name in surgery.__all__:
        assert getattr(surgery, name, None) is not None, name


@pytest.mark.parametrize(
    "arguments",
    [None, ["--help"], ["--version"], ["list"], ["show", "gridsample"], ["show", "atc"], ["apply", "--help"]],
    ids=lambda a: "import" if a is None else " ".join(a),
)
def test_loads_nothing_heavy(arguments: list[str] | None) -> None:
    run = "pass" if arguments is None else f"from surgery.cli import main; status = main({arguments!r})"
    code = f"""
import sys
import surgery
status = 0
try:
    {run}
except SystemExit as end:
    status = end.code
loaded = sorted(set({HEAVY!r}) & set(sys.modules))
sys.exit(f"status {{status}}" if status else f"loaded: {{loaded}}" if loaded else 0)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
