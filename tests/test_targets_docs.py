"""The pages of the targets say what the rules say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from surgery import targets

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", targets.SUMMARIES)
def test_page_is_up_to_date(name: str) -> None:
    spec = importlib.util.spec_from_file_location("make_targets", DOCS / "make_targets.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (DOCS / "targets" / f"{name}.md").read_text(encoding="utf-8")
    assert written == module.page(targets.get(name)), "run: python docs/make_targets.py"


def test_links_lead_somewhere() -> None:
    for page in (DOCS / "targets.md", *(DOCS / "targets").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
