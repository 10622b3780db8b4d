"""The README is true as typed."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest

README = Path(__file__).parents[2] / "README.md"


async def test_the_embedding_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "127.0.0.1", "ADMIN_HOST": "127.0.0.1", "PORT": "0", "ADMIN_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    body = textwrap.indent(f"{example}\nreturn server, process", "    ")
    exec(f"async def run():\n{body}", names)  # noqa: S102 our own README
    server, process = await names["run"]()
    try:
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"http://127.0.0.1:{process.ports['public']}/health")).status_code == 200
    finally:
        await process.stop()
        await server.shutdown()


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)", README.read_text())
    assert links
    assert [link for link in links if not link.startswith("http") and not (README.parent / link).exists()] == []


@pytest.mark.parametrize("target", ["serve", "test", "test-quick", "lint", "soak", "bench", "bench-cluster"])
def test_every_make_target_named_is_there(target: str) -> None:
    assert f"make {target}" in README.read_text()
    assert re.search(rf"^{target}:", (README.parent / "Makefile").read_text(), re.MULTILINE)
