"""Fuzz the parsers with atheris, which looks for bytes that reach code that nothing has reached before (make fuzz).

Each target runs in a process of its own. What has reached something new is kept in build/fuzz, and is where the next
run goes on. A case that something is wrong with is written to build/fuzz, too, and ends the run:

    python -m fuzz TARGET build/fuzz/TARGET-crash-…
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tradecast"]):
    from fuzz.targets import TARGETS, Target

PLACE = Path(__file__).parents[2] / "build" / "fuzz"
CASES = 1_000_000
# Seconds of one case, and megabytes of all.
SLOWEST, LARGEST = 10, 1_000


def main() -> int:
    """Fuzz all targets, or some; how many have failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--cases", type=int, default=CASES, help=f"of each target (default: {CASES})")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    names = options.targets or list(TARGETS)
    if options.one or Path(names[-1]).is_file():
        fuzz(names[0], TARGETS[names[0]], [*names[1:], *rest])
        return 0
    failed = 0
    for name in names:
        since = time.monotonic()
        command = [sys.executable, "-m", "fuzz", name, "--one", f"-runs={options.cases}", *rest]
        result = subprocess.run(command, check=False).returncode
        failed += bool(result)
        took = time.monotonic() - since
        print(f"══ {name}: {options.cases} cases, {took:.0f} s{f', FAILED ({result})' if result else ''}", flush=True)
    return failed


def fuzz(name: str, target: Target, arguments: list[str]) -> None:
    """Fuzz one target, or try one case again; never comes back."""
    corpus, words = PLACE / name, PLACE / f"{name}.words"
    if not any(Path(one).is_file() for one in arguments):
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(target.seeds):
            (corpus / f"seed{number}").write_bytes(seed)
        words.write_text("".join('"' + "".join(rf"\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
        arguments = [str(corpus), *([f"-dict={words}"] if target.words else []), *arguments]
    own = [f"-max_len={target.longest}", f"-timeout={SLOWEST}", f"-rss_limit_mb={LARGEST}", "-print_final_stats=1"]
    atheris.Setup([f"fuzz {name}", *own, f"-artifact_prefix={PLACE / name}-", *arguments], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
