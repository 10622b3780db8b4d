"""Write the pages that are made from code; with --check, only say which are not as they would be written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import chart_values
import delivery_page
import event_pages
import settings_page

ROOT = Path(__file__).parents[1]
# The schema comes before the table, which shows its descriptions.
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/settings.md": settings_page.page,
    "docs/delivery.md": delivery_page.page,
    "docs/events.schema.json": event_pages.schema_page,
    "docs/events.d.ts": event_pages.types_page,
    "docs/asyncapi.yaml": event_pages.asyncapi_page,
    "charts/tradecast/values.schema.json": chart_values.schema_page,
    "charts/tradecast/README.md": chart_values.readme_page,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    status = 0
    for name, page in PAGES.items():
        path = ROOT / name
        wanted = page()
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        if "--check" in arguments:
            print(f"{name} is not what it is made from: run `make docs`")
            status = 1
        else:
            path.write_text(wanted, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
