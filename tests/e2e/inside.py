"""What publishes numbered events from inside the cluster, for servers of either mode."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from e2e.crowd import EVENT, SYMBOL
from e2e.kube import RESTRICTED_CONTAINER, RESTRICTED_POD, Namespace
from kit.waiting import wait_until

NAME = "numbers"
# Runs in the servers' image; each line is a number, when it was published (Unix milliseconds), and what became of it.
SCRIPT = f"""
import asyncio, json, os, time
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.publishing.publisher import Publisher
from tradecast.config.settings import load_settings

async def main():
    async with Publisher(load_settings(os.environ)) as publisher:
        number = 1
        while True:
            when = time.time() * 1000
            try:
                await publisher.emit_to_room("watchlist:{SYMBOL}", "{EVENT}", {{"seq": number}})
                said = "accepted"
            except PublishUncertain:
                said = "uncertain"
            except AdapterUnavailable:
                said = "refused"
            print(json.dumps([number, when, said]), flush=True)
            number += 1
            await asyncio.sleep(0.1)

asyncio.run(main())
"""


@dataclass(frozen=True)
class Published:
    """Numbers by what became of them, with when they were published, in Unix milliseconds."""

    accepted: dict[int, float]
    uncertain: dict[int, float]


class NumbersInside:
    """The pod that publishes to both Redis, ten events a second, until somebody deletes it."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        image = namespace.one("deployment", "tradecast")["spec"]["template"]["spec"]["containers"][0]["image"]
        urls = (("REDIS_URL", "tradecast-redis"), ("REDIS_CLUSTER_URL", "tradecast-redis-cluster"))
        env = [{"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name, secret in urls]
        pod: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME},
            "spec": {
                "automountServiceAccountToken": False,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "securityContext": RESTRICTED_POD,
                "containers": [
                    {
                        "name": NAME, "image": image, "imagePullPolicy": "IfNotPresent",
                        "command": ["python3", "-c", SCRIPT], "env": env,
                        "securityContext": RESTRICTED_CONTAINER,
                    }
                ],
            },
        }  # fmt: skip
        namespace.apply(pod)
        namespace.kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "--timeout=60s")
        wait_until(lambda: self.published().accepted, what="numbers are published")

    def published(self) -> Published:
        """So far."""
        lines = self._namespace.kubectl("logs", NAME, "--tail=-1").splitlines()
        said = [json.loads(line) for line in lines if line.startswith("[")]
        assert all(what != "refused" for _, _, what in said)
        return Published(
            *({number: when for number, when, what in said if what == one} for one in ("accepted", "uncertain"))
        )
