"""What the tests of the command line share: small models, passes that go wrong, and two ways to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from surgery import registry
from surgery.cli import main

ROOT = Path(__file__).parent.parent

TWO = """
<ir_version: 8, opset_import: ["" : 16]>
two (float[batch, 4] x) => (float[batch, 4] y)
<float[4, 4] w = {0.9, 0.1, 0.2, -0.3, 0.4, 0.8, 0.1, 0.2, -0.1, 0.3, 0.7, 0.2, 0.5, -0.2, 0.1, 0.6}>
{
    a = MatMul (x, w)
    b = Relu (a)
    y = HardSwish (b)
}
"""
UNKNOWN = """
<ir_version: 8, opset_import: ["" : 16, "acme" : 1]>
unknown (float[2, 4] x) => (float[2, 4] y)
{
    a = acme.Whirl (x)
    b = Relu (a)
    y = HardSwish (b)
}
"""

# Each is the body of a file of its own; `Pass`, `Changes`, `Exact` and `Refused` are there.
PASSES = {
    "wrong": """
class Wrong(Pass):
    operator = "Relu"

    def rewrite(self, op, node):
        return op.Mul(op.Relu(node.inputs[0]), 1.01)
""",
    "refusing": """
class Refusing(Pass):
    operator = "Relu"

    def rewrite(self, op, node):
        raise Refused("the operator can't be spelt", where=node.name, cure="ask for less")
""",
    "broken": """
class Broken(Pass):
    operator = "Relu"

    def rewrite(self, op, node):
        return 1 / 0
""",
    "picky": """
class Picky(Pass):
    operator = "Relu"

    def rewrite(self, op, node):
        return op.skip("it is of the wrong colour")
""",
    "softer": """
class Softer(Pass):
    operator = "Relu"
    contract = Changes("negative values are kept, a hundredth of them")

    def rewrite(self, op, node):
        return op.LeakyRelu(node.inputs[0], alpha=0.01)
""",
    "wordy": """
class Wordy(Pass):
    operator = "Relu"

    def rewrite(self, op, node):
        return op.skip(f"{node.name} is not liked")
""",
    "taller": """
class Taller(Pass):
    operator = "HardSwish"

    def rewrite(self, op, node):
        return op.Unsqueeze(op.HardSwish(node.inputs[0]), [0])
""",
    "nowhere": """
class Nowhere(Pass):
    operator = "HardSwish"

    def rewrite(self, op, node):
        return op.Where(op.Equal(node.inputs[0], node.inputs[0]), float("nan"), node.inputs[0])
""",
    "homeless": """
import a_package_that_is_not_there

class Homeless(Pass):
    operator = "Relu"

    def rewrite(self, op, node):
        return op.skip("")
""",
    "endless": """
class Endless(Pass):
    operator = "Relu"

    def rewrite(self, op, node):
        raise KeyboardInterrupt
""",
    "typed": """
class Typed(Pass):
    count: int = 1  # how often
    share: float = 0.5
    firm: bool = False
    dims: dict[str, int] = {}
    names: list[str] = []

    def apply(self, model):
        return 0
""",
}


@dataclass
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What --json printed; an error if there is anything else."""
        return json.loads(self.out)


class Shell:
    """A folder with ``two.onnx``, in which commands are run; the passes of `PASSES` are installed."""

    def __init__(self, folder: Path, site: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._site = site
        self._capture = capture

    def model(self, text: str, name: str) -> Path:
        """Write a model."""
        onnx.save(onnx.parser.parse_model(text), self.folder / name)
        return self.folder / name

    def run(self, *words: str) -> Done:
        """Run ``surgery`` in this process."""
        self._capture.readouterr()
        status = main(words)
        return Done(status, *self._capture.readouterr())

    def spawn(self, *words: str, **environment: str) -> Done:
        """Run ``surgery`` in a process of its own."""
        paths = os.pathsep.join((str(ROOT), str(self._site)))
        done = subprocess.run(
            [sys.executable, "-m", "surgery", *words],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": paths, "TERM": "xterm"} | environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def files(self) -> set[str]:
        """All that lies in the folder, hidden files too."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip would leave it, with a package of the passes above."""
    folder = tmp_path_factory.mktemp("site")
    package = folder / "planted_shelf"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, body in PASSES.items():
        head = f'"""The pass {name!r}."""\n\nfrom surgery import Changes, Exact, Pass, Refused\n'
        (package / f"{name}.py").write_text(head + body)
    info = folder / "planted_shelf-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[onnx_surgery.rewrites]\nshelf = planted_shelf\n")
    return folder


@pytest.fixture
def shell(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A `Shell`."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    registry.forget()
    made = Shell(tmp_path, site, capsys)
    made.model(TWO, "two.onnx")
    yield made
    registry.forget()
