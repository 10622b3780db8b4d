"""What the documents name exists: the files they link to, and the chart's values."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_resolve(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def test_values_named_in_kubernetes_md_exist() -> None:
    values: dict[str, Any] = yaml.safe_load((ROOT / "charts/tradecast/values.yaml").read_text())
    text = (ROOT / "docs/kubernetes.md").read_text()
    named = {key for key in re.findall(r"[`\s]([a-z]\w*(?:\.\w+)+)[`=]", text) if key.split(".")[0] in values}
    assert len(named) > 20
    for key in sorted(named):
        node: Any = values
        for part in key.split("."):
            assert isinstance(node, dict), key
            assert part in node, key
            node = node[part]
