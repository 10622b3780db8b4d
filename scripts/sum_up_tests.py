"""Add up pytest's JUnit reports: what was skipped and why, then `total: N passed, N failed, N skipped`.

Usage: sum_up_tests.py STATUS REPORT…, with the exit status of what wrote the reports.
"""

from __future__ import annotations

import collections
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def main(status: int, *reports: Path) -> int:
    """Print the sums; the exit status is the one given, and 1 where CI skipped something or no test ran."""
    reasons: collections.Counter[str] = collections.Counter()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for report in reports:
        if not report.exists():
            print(f"pytest wrote no report {report.name}")
            counts["failed"] += 1
            status = status or 1
            continue
        passed_before = counts["passed"]
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 our own file
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                counts["failed"] += 1
            elif "skipped" in kinds:
                counts["skipped"] += 1
                reasons[case.find("skipped").get("message", "")] += 1
            else:
                counts["passed"] += 1
        if counts["passed"] == passed_before:
            status = status or 1
    if reasons:
        print("\nDid not run:")
        for reason, count in reasons.most_common():
            print(f"  {count} tests: {reason}")
    if os.environ.get("CI") == "true" and counts["skipped"]:
        print("In CI nothing may be skipped.")
        status = status or 1
    if counts["failed"]:
        status = status or 1
    print("total: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *map(Path, sys.argv[2:])))
