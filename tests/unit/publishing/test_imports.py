"""What a program loads that only publishes: `publishing` will be a package of its own."""

from __future__ import annotations

import json
import subprocess
import sys

# The standard library's, redis' and orjson's own needs, and C that is used where it is there (`engine.masking`).
ALLOWED = {"tradecast", "redis", "orjson", "hiredis", "cryptography", "websockets"}
LOADED = """
import json, sys
before = set(sys.modules)
import tradecast.publishing
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(names - sys.stdlib_module_names)))
"""


def test_publishing_loads_redis_and_orjson_only() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    assert set(json.loads(done.stdout)) <= ALLOWED
