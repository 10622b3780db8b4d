"""Add up pytest's JUnit report: what was skipped and why, then `total: N passed, N failed, N skipped`."""

from __future__ import annotations

import collections
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def main(report: Path, status: int) -> int:
    """Print the sums; the exit status is pytest's, and 1 where CI skipped something or no test ran."""
    if not report.exists():
        print("pytest wrote no report")
        print("total: 0 passed, 1 failed, 0 skipped")
        return status or 1
    reasons: collections.Counter[str] = collections.Counter()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 our own file
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            counts["failed"] += 1
        elif "skipped" in kinds:
            counts["skipped"] += 1
            reasons[case.find("skipped").get("message", "")] += 1
        else:
            counts["passed"] += 1
    if reasons:
        print("\nDid not run:")
        for reason, count in reasons.most_common():
            print(f"  {count} tests: {reason}")
    if os.environ.get("CI") == "true" and counts["skipped"]:
        print("In CI nothing may be skipped.")
        status = status or 1
    if not counts["passed"]:
        status = status or 1
    print("total: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
