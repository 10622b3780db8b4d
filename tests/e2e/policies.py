"""Enforces NetworkPolicies on the nodes, as far as this chart's go: the pod network of offline/ does not.

Ingress by TCP port, from pods by their labels and namespaces. What is not admitted is dropped, so that a client that
connects in the moment before its pod is known tries again. kindnet enforces policies as well; both may.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from e2e.kube import Namespace, get_everywhere, run

TABLE = "tradecast_e2e"
EVERY = 0.5


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether labels match a selector, which may have matchLabels only."""
    assert not selector.keys() - {"matchLabels"}, selector
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def address(pod: dict[str, Any]) -> str | None:
    found: str | None = pod["status"].get("podIP")
    return found


def admitted(peer: dict[str, Any], home: str, pods: list[dict[str, Any]], namespaces: dict[str, Any]) -> set[str]:
    """The addresses of the pods that a peer of a policy in the namespace `home` means."""
    assert not peer.keys() - {"podSelector", "namespaceSelector"}, peer
    found = set()
    for pod in pods:
        namespace = pod["metadata"]["namespace"]
        if "namespaceSelector" in peer:
            here = matches(peer["namespaceSelector"], namespaces[namespace])
        else:
            here = namespace == home
        if here and matches(peer.get("podSelector", {}), pod["metadata"].get("labels", {})) and (ip := address(pod)):
            found.add(ip)
    return found


def rules(policies: list[dict[str, Any]], pods: list[dict[str, Any]], namespaces: dict[str, Any]) -> list[str]:
    """Nft's rules for these policies: who is admitted, and that nobody else is."""
    accepted, selected = set(), set()
    for policy in policies:
        home, spec = policy["metadata"]["namespace"], policy["spec"]
        targets = [
            pod
            for pod in pods
            if pod["metadata"]["namespace"] == home and matches(spec["podSelector"], pod["metadata"].get("labels", {}))
        ]
        for pod in targets:
            ip = address(pod)
            if ip is None:
                continue
            selected.add(ip)
            numbers = {
                port["name"]: port["containerPort"]
                for container in pod["spec"]["containers"]
                for port in container.get("ports", ())
            }
            for rule in spec.get("ingress", ()):
                sources = set()
                for peer in rule.get("from", ()):
                    sources |= admitted(peer, home, pods, namespaces)
                for port in rule["ports"]:
                    number = numbers.get(port["port"], port["port"])
                    to = f"ip daddr {ip} tcp dport {number}"
                    if "from" not in rule:
                        accepted.add(f"{to} accept")
                    elif sources:
                        accepted.add(f"ip saddr {{ {', '.join(sorted(sources))} }} {to} accept")
    return [*sorted(accepted), *(f"ip daddr {ip} drop" for ip in sorted(selected))]


def write(nodes: list[str], lines: list[str]) -> None:
    """Replace what the nodes enforce."""
    chain = ["type filter hook forward priority 0;", "ct state established,related accept", *lines]
    body = "\n".join(["chain forward {", *chain, "}"])
    text = f"table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{body}\n}}\n"
    for node in nodes:
        run("docker", "exec", "-i", node, "nft", "-f", "-", stdin=text)


@contextlib.contextmanager
def enforced(namespace: Namespace) -> Iterator[None]:
    """The namespace's policies hold, for pods that come later too."""
    nodes = [node["metadata"]["name"] for node in get_everywhere("nodes")]
    end, wrong = threading.Event(), list[BaseException]()
    known: list[str] | None = None

    def enforce() -> None:
        nonlocal known
        names = {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in get_everywhere("namespaces")}
        lines = rules(namespace.get("networkpolicies"), get_everywhere("pods"), names)
        if lines != known:
            write(nodes, lines)
            known = lines

    def follow() -> None:
        try:
            while not end.wait(EVERY):
                enforce()
        except BaseException as error:
            wrong.append(error)

    enforce()
    assert known, "the namespace has no policies"
    thread = threading.Thread(target=follow, name="policies")
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        for node in nodes:
            run("docker", "exec", node, "nft", "delete", "table", "ip", TABLE)
    assert not wrong, wrong
