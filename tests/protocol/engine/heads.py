"""Large heads, as browsers and proxies make them."""

from __future__ import annotations

LARGE: dict[str, tuple[str, tuple[str, ...]]] = {
    "30 kB cookie": ("", ("Cookie: a=" + "x" * 30_000,)),
    "200 lines": ("", tuple(f"X-Line-{n}: {n}" for n in range(200))),
    "15 kB query": ("&more=" + "x" * 15_000, ()),
}
