"""The command: `make bench-single`."""

from __future__ import annotations

import json
from dataclasses import asdict
from single.measurement import Plan, measure
from single.servers import build, SERVERS
import sys
build(list(SERVERS))
for name in sys.argv[2:]:
    found = measure(name, Plan(int(sys.argv[1])), lambda t: print(name, t, flush=True))
    print(json.dumps(asdict(found), indent=1))
