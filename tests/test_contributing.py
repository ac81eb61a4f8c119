"""CONTRIBUTING.md's worked example is the real file, and its test passes as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = dict(re.findall(r"<!-- (\S+) -->\n```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL))


def test_the_example_is_the_pass():
    assert BLOCKS["rewrites/passes/hardswish.py"] == (ROOT / "rewrites/passes/hardswish.py").read_text()


@pytest.mark.parametrize("name", ["test_is_spelt_out", "test_leaves_other_activations_alone"])
def test_the_examples_test_passes(assert_rewrite, name):
    scope: dict = {}
    exec(BLOCKS["tests/test_hardswish.py"], scope)
    scope[name](assert_rewrite)
