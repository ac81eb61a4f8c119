"""A third party's package is found once it is installed, and used like what comes with surgery."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import onnx.parser
import pytest

ROOT = Path(__file__).parent.parent

MODEL = """
<ir_version: 8, opset_import: ["" : 16]>
relus (float[batch, 4] x) => (float[batch, 4] y, float[batch, 4] z)
{
    a = Neg (x)
    b = Relu (a)
    c = Relu (b)
    y = Sqrt (c)
    z = Relu (x)
}
"""


def install(source: Path, target: Path) -> None:
    """Install the package in `source` into the folder `target`, from what is on this machine."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def package(folder: Path, name: str) -> Path:
    """The package of tests/third_party under another name, so that two provide one rewrite."""
    source = folder / f"source-{name}"
    shutil.copytree(ROOT / "tests" / "third_party", source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "acme").rename(source / name)
    project = source / "pyproject.toml"
    project.write_text(project.read_text().replace("acme", name))
    return source


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which acme-rewrites is installed."""
    folder = tmp_path_factory.mktemp("acme")
    install(package(folder, "acme"), folder / "site")
    return folder / "site"


def surgery(*arguments: str, site: list[Path]) -> subprocess.CompletedProcess[str]:
    """Run the command line with the packages of `site` installed."""
    code = "import sys; from surgery.cli import main; sys.exit(main())"
    path = os.pathsep.join(str(p) for p in [*site, ROOT])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )


def test_is_listed(acme: Path) -> None:
    done = surgery("list", site=[acme])
    assert done.returncode == 0, done.stderr
    assert "double-relu" in done.stdout
    assert "Drop the second of two Relus in a row" in done.stdout
    assert "double-relu" not in surgery("list", site=[]).stdout


def test_is_shown(acme: Path) -> None:
    done = surgery("show", "double-relu", site=[acme])
    assert done.returncode == 0, done.stderr
    assert "NaN passes both" in done.stdout


def test_is_applied(acme: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "model.onnx", tmp_path / "after.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), before)
    done = surgery("apply", str(before), "--pass", "double-relu", "-o", str(after), "--json", site=[acme])
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (applied,) = report["passes"]
    assert (applied["name"], applied["places"], report["verdict"]) == ("double-relu", 1, "equal")
    assert [n.op_type for n in onnx.load(after).graph.node] == ["Neg", "Relu", "Sqrt", "Relu"]


def test_a_name_taken_twice_is_an_error_that_names_both(acme: Path, tmp_path: Path) -> None:
    install(package(tmp_path, "other"), tmp_path / "site")
    done = surgery("show", "double-relu", site=[acme, tmp_path / "site"])
    assert done.returncode == 2
    assert str(Path("acme/rewrites/double_relu.py")) in done.stderr
    assert str(Path("other/rewrites/double_relu.py")) in done.stderr
    assert "Traceback" not in done.stderr
