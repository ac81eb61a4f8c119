"""sympy is loaded when it is used, and works as ever then."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "'sympy.core' in sys.modules"
USES = {
    "dims that are computed with": "dim = onnx_ir.SymbolicDim('n') + 1; assert str(dim) == 'n + 1', dim",
    "by itself": "import sympy; n = sympy.Symbol('n'); assert sympy.simplify(n + n - 2 * n) == 0",
    "one name": "from sympy import Symbol; assert str(Symbol('n')) == 'n'",
    "a module within": "from sympy.core.add import Add; import sympy.core.mul; assert Add(1, 2) == 3",
}


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_not_loaded_with_onnx_ir():
    run(f"import sys, surgery, onnx_ir, surgery.model; assert not {LOADED}")


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_it_works_when_used(use: str):
    run(f"import sys, surgery, onnx_ir; {use}; assert {LOADED}")


def test_where_it_is_loaded_nothing_changes():
    run("import sympy, surgery, onnx_ir; assert type(sympy).__name__ == 'module'; assert sympy.Symbol('n')")
    run("import surgery, sympy; assert type(sympy).__name__ == 'module'")
