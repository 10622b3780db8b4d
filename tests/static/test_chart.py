"""The chart without a cluster: what Helm, helm-unittest and kubeconform say of it with every set of values.

Ingress, HTTPRoute, Gateway, the monitors, the rules and the HPA on custom metrics are proven here only; the rest runs
on kind too (tests/e2e).
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.kubernetes.tools import find, run, schemas

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "tradecast"
VALUES = [CHART / "values.yaml", CHART / "values-production.yaml", *sorted((CHART / "ci").glob("*-values.yaml"))]
each_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
each_helm = pytest.mark.parametrize("helm", ["helm", "helm3"])


@functools.cache
def rendered(helm: str, values: Path) -> str:
    """What the chart gives, hooks among it."""
    done = run(helm, "template", "tradecast", CHART, "--namespace", "trading", "-f", values)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """All objects, sorted: the two Helms have orders of their own."""
    found = [one for one in yaml.safe_load_all(text) if one]
    return sorted(found, key=lambda one: (one["kind"], one["metadata"]["name"]))


@each_helm
@each_values
def test_helm_has_nothing_to_say(helm: str, values: Path) -> None:
    done = run(helm, "lint", "--strict", CHART, "-f", values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@each_values
def test_both_helms_give_the_same(values: Path) -> None:
    assert objects(rendered("helm", values)) == objects(rendered("helm3", values))


@pytest.fixture(scope="session")
def own_schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JSON schemas of the chart's own resources, as they are in its CRDs."""
    folder = tmp_path_factory.mktemp("schemas")
    for path in (CHART / "crds").glob("*.yaml"):
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            name = f"{spec['names']['kind']}-{spec['group']}-{version['name']}.json".lower()
            (folder / name).write_text(json.dumps(_closed(version["schema"]["openAPIV3Schema"])), encoding="utf-8")
    return folder


def _closed(schema: Any) -> Any:
    """The schema, which refuses what it does not know, as the API server drops it; metadata is Kubernetes' own."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    return {**closed, "additionalProperties": False} if "properties" in schema else closed


@each_values
def test_kubernetes_would_take_it(values: Path, own_schemas: Path) -> None:
    name = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json"
    done = run(
        "kubeconform", "-strict", "-output=json", "-summary",
        f"-schema-location={schemas()}/{name}", f"-schema-location={own_schemas}/{name}", "-",
        stdin=rendered("helm", values),
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["resources"] == []
    assert done.returncode == 0
    assert said["summary"]["valid"] == len(objects(rendered("helm", values)))
    assert said["summary"]["skipped"] == 0


SCHEMA_KEYS = {
    *("type", "description", "properties", "items", "required", "enum", "default", "format", "additionalProperties"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "maxItems", "nullable"),
}


def find_unknown_keys(schema: dict[str, Any], path: str = "") -> list[str]:
    unknown = [f"{path}: {key}" for key in schema if key not in SCHEMA_KEYS and not key.startswith("x-kubernetes-")]
    for name, below in schema.get("properties", {}).items():
        unknown += find_unknown_keys(below, f"{path}.{name}")
    return unknown + (find_unknown_keys(schema["items"], f"{path}[]") if "items" in schema else [])


def test_the_crd_has_no_key_that_kubernetes_does_not_know() -> None:
    """In `{description: Why, in one word}` YAML sees a second key; stricter clients than kubectl refuse the CRD."""
    spec = yaml.safe_load((CHART / "crds/socketfleets.yaml").read_text(encoding="utf-8"))["spec"]
    (version,) = spec["versions"]
    assert find_unknown_keys(version["schema"]["openAPIV3Schema"]) == []
    assert {key for column in version["additionalPrinterColumns"] for key in column} <= {
        *("name", "type", "jsonPath", "description", "priority")
    }


def test_columns_of_a_socketfleet_are_of_what_its_status_has() -> None:
    """Kubernetes takes any path: a column whose name was mistyped would stay empty."""
    spec = yaml.safe_load((CHART / "crds/socketfleets.yaml").read_text(encoding="utf-8"))["spec"]
    (version,) = spec["versions"]
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    kinds = re.findall(r"\w+[a-z](?=,| or|\.)", status["conditions"]["items"]["properties"]["type"]["description"])
    wide = {}
    for column in version["additionalPrinterColumns"]:
        path = re.fullmatch(
            r'\.status\.(?:(\w+)(?:\.(\w+))?|conditions\[\?\(@\.type=="(\w+)"\)\]\.(?:status|reason))',
            column["jsonPath"],
        )
        if path is None:
            assert column["jsonPath"] == ".metadata.creationTimestamp"
            continue
        below = status[path[1]].get("properties", {}) if path[1] in status else {}
        assert path[3] in kinds or (path[1] in status and (path[2] is None or path[2] in below)), column
        if column.get("priority"):
            wide[column["name"]] = path[3]
    assert wide == {"Progress": "Progressing", "Adapter": "AdapterTuned", "Redis": "RedisLimited"}
    shown = ["NAME", *(column["name"].upper() for column in version["additionalPrinterColumns"])]
    page = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    heads = [line.split() for line in page.splitlines() if line.startswith("NAME ")]
    assert heads
    assert all(head == [name for name in shown if name.capitalize() not in wide] for head in heads)


def test_kubeconform_sees_a_wrong_field() -> None:
    text = rendered("helm", VALUES[0]).replace("revisionHistoryLimit:", "revisionHistoryLimits:")
    location = f"{schemas()}/{{{{.ResourceKind}}}}-{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}.json"
    done = run("kubeconform", "-strict", f"-schema-location={location}", "-", stdin=text)
    assert done.returncode == 1
    assert "revisionHistoryLimits" in done.stdout


@pytest.mark.timeout(600)
def test_unit_tests_of_the_templates() -> None:
    done = run("helm-unittest", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Tests:\s+(\d{2,}) passed, \1 total", done.stdout), done.stdout


@each_helm
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("replicas=3", "additional properties 'replicas' not allowed"),
        ("drain.rate=3", "additional properties 'rate' not allowed"),
        ("redis.bundled.image.name=x", "additional properties 'name' not allowed"),
        ("drain.delaySeconds=soon", "got string, want number"),
        ("replicaCount=-1", "minimum"),
        ("mode=staging", "value must be one of"),
        ("ingress.controller=caddy", "value must be one of"),
        ("image.digest=latest", "does not match pattern"),
        ("server.settings.PING_INTERVALL=20", "invalid propertyName 'PING_INTERVALL'"),
        ("server.settings.ping_interval=20", "invalid propertyName 'ping_interval'"),
        ("server.socketPath=/a b", "does not match pattern"),
        ("service.ipFamilies={IPv5}", "value must be one of"),
        (r"commonLabels.helm\.sh/chart=x", "helm.sh/chart"),
        (r"server.podLabels.app\.kubernetes\.io/name=x", "app.kubernetes.io/name"),
    ],
)
def test_the_schema_refuses(helm: str, wrong: str, said: str) -> None:
    done = run(helm, "template", "tradecast", CHART, "--set", wrong)
    assert done.returncode != 0
    assert said in done.stderr


# What Kubernetes would refuse, with where and why the schema does. All at once, since each run of helm takes a while.
WRONG = """
server:
  podSecurityContext: {runAsuser: 1, runAsUser: root}
  strategy: {type: Rolling, rollingUpdate: {maxUnavailable: 101%}}
  extraVolumes: [{emptyDir: {}}]
  extraVolumeMounts: [{name: a}]
  extraEnv: [{name: A, valueFom: {}}, {name: A, value: {}}, {name: A, value: 1, valueFrom: {fieldRef: {}}}]
  resources: {limits: {memory: 1gb, mem: 1Gi}}
  annotations: {a b: x}
  tolerations: [{operator: Exists, value: x}, {value: x}, {operator: Exists, tolerationSeconds: 3}, {key: a b}]
  podSpec: {terminationGracePeriodSeconds: "900", hostNetwork: "yes", dnsPolicy: None of these, tolerations: {key: a}}
  containerSpec: {args: serve, command: [1], imagePullPolicy: never, livenessProbe: [], lifecycle: none, tty: 1}
feed: {containerSecurityContext: {capabilities: {drop: [all]}}, nodeSelector: {disk: a b}}
redis: {bundled: {podSpec: {containers: [{image: x}]}}}
operator:
  tolerations: [{operators: Exists}]
  crdJob: {podspec: {}}
  fleet: {rebalance: {treshold: 150, thresholdPercent: 50}}
test: {affinity: {podAffinities: {}}, podSecurityContext: {seccompProfile: {type: Localhost}}}
podDisruptionBudget: {maxUnavailable: 101%}
commonLabels: {team: a b}
networkPolicy:
  httpFrom: [{podselector: {}}, {ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]
  adminFrom: [{ipBlock: {cidr: 10.0.0.1}}, {ipBlock: {cidr: 10.0.0.256/8}}]
metrics:
  podMonitor: {relabelings: [{source: x}]}
  serviceMonitor: {metricRelabelings: [{action: remove}]}
prometheusRule: {namespace: Monitoring}
dashboards: {labelValue: a b}
ingress: {host: "https://example.com", path: //push}
httpRoute: {parentRefs: [{name: g, gateway: x}]}
image: {registry: "https://ghcr.io", repository: Tradecast, tag: a b}
global: {imageRegistry: "https://ghcr.io"}
autoscaling: {customMetrics: {metricName: a/b}}
"""
REFUSED = {
    "/server/podSecurityContext": "additional properties 'runAsuser' not allowed",
    "/server/podSecurityContext/runAsUser": "got string, want",
    "/server/strategy/type": "value must be one of",
    "/server/strategy/rollingUpdate/maxUnavailable": "does not match pattern",
    "/server/extraVolumes/0": "missing property 'name'",
    "/server/extraVolumeMounts/0": "missing property 'mountPath'",
    "/server/extraEnv/0": "additional properties 'valueFom' not allowed",
    "/server/extraEnv/1/value": "got object, want",
    "/server/extraEnv/2": "'not' failed",
    "/server/resources/limits/memory": "does not match pattern",
    "/server/tolerations/0/value": "maxLength",
    "/server/tolerations/1": "missing property 'key'",
    "/server/tolerations/2": "missing property 'effect'",
    "/server/tolerations/3/key": "does not match pattern",
    "/server/podSpec/terminationGracePeriodSeconds": "got string, want",
    "/server/podSpec/hostNetwork": "got string, want",
    "/server/podSpec/dnsPolicy": "value must be one of",
    "/server/podSpec/tolerations": "got object, want",
    "/server/containerSpec/args": "got string, want",
    "/server/containerSpec/command/0": "got number, want string",
    "/server/containerSpec/imagePullPolicy": "value must be one of",
    "/server/containerSpec/livenessProbe": "got array, want",
    "/server/containerSpec/lifecycle": "got string, want",
    "/server/containerSpec/tty": "got number, want",
    "/feed/containerSecurityContext/capabilities/drop/0": "does not match pattern",
    "/feed/nodeSelector/disk": "does not match pattern",
    "/redis/bundled/podSpec/containers/0": "missing property 'name'",
    "/operator/tolerations/0": "additional properties 'operators' not allowed",
    "/operator/crdJob": "additional properties 'podspec' not allowed",
    "/operator/fleet/rebalance": "additional properties 'treshold' not allowed",
    "/operator/fleet/rebalance/thresholdPercent": "minimum",
    "/test/affinity": "additional properties 'podAffinities' not allowed",
    "/test/podSecurityContext/seccompProfile": "missing property 'localhostProfile'",
    "/podDisruptionBudget/maxUnavailable": "does not match pattern",
    "/commonLabels/team": "does not match pattern",
    "/networkPolicy/httpFrom/0": "additional properties 'podselector' not allowed",
    "/networkPolicy/httpFrom/1": "maxProperties",
    "/networkPolicy/adminFrom/0/ipBlock/cidr": "does not match pattern",
    "/networkPolicy/adminFrom/1/ipBlock/cidr": "does not match pattern",
    "/metrics/podMonitor/relabelings/0": "additional properties 'source' not allowed",
    "/metrics/serviceMonitor/metricRelabelings/0/action": "does not match pattern",
    "/prometheusRule/namespace": "does not match pattern",
    "/dashboards/labelValue": "does not match pattern",
    "/ingress/host": "does not match pattern",
    "/ingress/path": "'not' failed",
    "/httpRoute/parentRefs/0": "additional properties 'gateway' not allowed",
    "/image/registry": "does not match pattern",
    "/image/repository": "does not match pattern",
    "/image/tag": "does not match pattern",
    "/global/imageRegistry": "does not match pattern",
    "/autoscaling/customMetrics/metricName": "does not match pattern",
}


@each_helm
def test_the_schema_refuses_what_kubernetes_would(helm: str, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(WRONG, encoding="utf-8")
    done = run(helm, "template", "tradecast", CHART, "-f", values)
    assert done.returncode != 0
    said: dict[str, str] = {}
    for where, what in re.findall(r"- at '([^']*)': (.*)", done.stderr):
        said[where] = f"{said.get(where, '')} {what}"
    missing = {where: (why, said.get(where)) for where, why in REFUSED.items() if why not in said.get(where, "")}
    assert not missing, done.stderr
    for name in ("mem", "a b"):  # Helm says where, but not always rightly
        assert f"invalid propertyName '{name}'" in done.stderr


def test_a_secret_is_refused_where_a_configmap_would_show_it() -> None:
    from pydantic import SecretStr

    from tradecast.config.settings import Settings

    fields = Settings.model_fields.items()
    secret = [name.upper() for name, field in fields if SecretStr.__name__ in str(field.annotation)]
    assert len(secret) >= 8
    for name in secret:
        done = run("helm", "template", "t", CHART, "--set", f"server.settings.{name}=hunter2")
        assert f"server.settings.{name} would put a secret into a ConfigMap" in done.stderr
        assert "hunter2" not in done.stderr + done.stdout


def test_another_version_of_the_chart_does_not_restart_what_it_does_not_change(tmp_path: Path) -> None:
    """Else each upgrade would empty the bundled Redis, and drop every client for nothing."""
    other = shutil.copytree(CHART, tmp_path / "tradecast")
    chart = (other / "Chart.yaml").read_text(encoding="utf-8")
    (other / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*", "version: 9.9.9", chart), encoding="utf-8")

    def pods(path: Path) -> list[dict[str, Any]]:
        found = objects(run("helm", "template", "t", path).stdout)
        return [one["spec"]["template"] for one in found if one["kind"] == "Deployment"]

    assert "9.9.9" in run("helm", "template", "t", other).stdout
    assert pods(other) == pods(CHART)


@pytest.mark.parametrize(
    "values",
    [path for path in VALUES if path.stem.removesuffix("-values") in ("values", "everything", "operator", "pods")],
    ids=lambda path: path.stem,
)
def test_values_of_an_older_release_do(values: Path, tmp_path: Path) -> None:
    """`helm upgrade --reuse-values` renders new templates with old values: what they lack is as it was."""
    older = shutil.copytree(CHART, tmp_path / "tradecast")
    before = yaml.safe_load((ROOT / "tests/static/values-0.1.0.yaml").read_text(encoding="utf-8"))
    # What CHANGELOG.md says has another default now; --reuse-values keeps the former.
    before["drain"]["timeoutSeconds"] = None
    before["accept"]["connectionsPerSecond"] = 200
    before["server"]["resources"]["requests"]["cpu"] = "500m"
    (older / "values.yaml").write_text(yaml.safe_dump(before), encoding="utf-8")
    own: list[str | Path] = [] if values.name == "values.yaml" else ["-f", values]
    done = run("helm", "template", "tradecast", older, "--namespace", "trading", *own)
    assert done.returncode == 0, done.stderr
    pods = {(one["kind"], one["metadata"]["name"]): one for one in objects(rendered("helm", values))}
    for one in objects(done.stdout):
        if one["kind"] in ("Deployment", "Job", "Pod"):
            assert one["spec"] == pods[one["kind"], one["metadata"]["name"]]["spec"]


AWKWARD = """
mode: production
redis: {bundled: {enabled: false}, existingSecret: "1e3", clusterSecret: "2", tlsSecret: "on"}
mongodb: {existingSecret: "0", tlsSecret: "no"}
sessions: {existingSecret: "12"}
tokens: {existingSecret: "34"}
server: {tlsSecret: "null", internalTlsSecret: "true", priorityClassName: "5"}
serviceAccount: {name: "6"}
adapter: {configMap: "7"}
operator: {enabled: true, fleet: {redisAdapter: {redisSecret: {name: "8"}}}}
image: {pullSecrets: [{name: "9"}]}
ingress: {enabled: true, className: "10", host: "11.example", tls: {enabled: true, secretName: "13"}}
httpRoute: {enabled: true}
gateway: {enabled: true, className: "14", tlsSecret: "15"}
autoscaling: {mode: keda, keda: {source: prometheus, prometheus: {serverAddress: http://p, authenticationRef: "16"}}}
metrics: {podMonitor: {enabled: true, namespace: "17"}}
prometheusRule: {enabled: true, namespace: "18"}
dashboards: {enabled: true, namespace: "19"}
"""


@each_helm
def test_names_that_yaml_takes_for_something_else_stay_names(helm: str, tmp_path: Path) -> None:
    """Kubernetes allows a Secret called 1e3, and a namespace called 2026."""
    values = tmp_path / "values.yaml"
    values.write_text(AWKWARD, encoding="utf-8")
    done = run(helm, "template", "tradecast", CHART, "--namespace", "2026", "--is-upgrade", "-f", values)
    assert done.returncode == 0, done.stderr

    def check(node: Any, path: str) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if re.search(r"(^|[a-z])([nN]ame|[nN]amespace)$", key):
                    assert isinstance(value, str), f"{path}.{key}: {value!r}"
                if key in ("matchNames", "resourceNames"):
                    assert all(isinstance(one, str) for one in value), f"{path}.{key}: {value!r}"
                check(value, f"{path}.{key}")
        elif isinstance(node, list):
            for one in node:
                check(one, f"{path}[]")

    for one in objects(done.stdout):
        check(one, one["kind"])


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ("server.requireTls=true", "--header=X-Forwarded-Proto: https"),
        ("server.requireTls=true,server.tlsSecret=t", "--insecure"),
        ("mode=demo", None),
    ],
)
def test_helm_test_s_arguments_are_the_command_s(given: str, argument: str | None) -> None:
    """On kind `helm test` runs over plain HTTP; this is what it says where TLS is wanted."""
    from tradecast.cli import cli

    done = run("helm", "template", "t", CHART, "--set", given, "--show-only", "templates/tests/roundtrip.yaml")
    (pod,) = objects(done.stdout)
    arguments = pod["spec"]["containers"][0]["args"]
    assert (argument is None) == (not [one for one in arguments if one.startswith(("--header", "--insecure"))])
    assert argument is None or argument in arguments
    known = {option for parameter in cli.commands["load"].params for option in parameter.opts}
    assert {one.partition("=")[0] for one in arguments[1:]} <= known


@each_helm
def test_a_cluster_that_is_too_old_is_refused_with_what_is_needed(helm: str) -> None:
    done = run(helm, "template", "tradecast", CHART, "--kube-version", "1.28.9")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.29.0-0 which is incompatible with Kubernetes v1.28.9" in done.stderr
    assert run(helm, "template", "tradecast", CHART, "--kube-version", "v1.29.3-gke.1282000").returncode == 0


def test_a_parent_chart_s_global_values_are_none_of_our_business() -> None:
    assert run("helm", "template", "tradecast", CHART, "--set", "global.anything=1").returncode == 0


def test_the_schema_is_closed_and_describes_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def check(node: dict[str, Any], path: str) -> None:
        for name, value in node.get("properties", {}).items():
            where = f"{path}.{name}"
            assert value.get("description") or "properties" in value, where
            if "properties" in value:
                # A parent chart's globals are its own.
                assert value.get("additionalProperties", where) is (where if where == ".global" else False), where
                check(value, where)

    assert schema["additionalProperties"] is False
    check(schema, "")


def test_a_changed_setting_restarts_the_servers() -> None:
    def checksum(*arguments: str) -> str:
        done = run("helm", "template", "t", CHART, "--show-only", "templates/deployment.yaml", *arguments)
        (deployment,) = objects(done.stdout)
        found: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum() == checksum("--set", "replicaCount=5")
    assert checksum() != checksum("--set", "accept.burst=999")
    assert checksum() != checksum("--set", "server.settings.PING_INTERVAL=20")


def test_settings_that_the_chart_writes_exist() -> None:
    """A setting whose name was mistyped would do nothing."""
    from tradecast.config.settings import Settings

    names = {name.upper() for name in Settings.model_fields}
    for values in VALUES:
        for one in objects(rendered("helm", values)):
            if one["kind"] == "ConfigMap" and "LOG_FORMAT" in (one.get("data") or {}):
                assert one["data"].keys() <= names
            for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
                ours = "tradecast/tradecast" in container["image"] and "command" not in container
                if ours and values.stem != "everything-values":
                    assert {variable["name"] for variable in container.get("env", ())} <= names


def test_every_setting_can_be_set_or_is_refused_with_a_sentence() -> None:
    from tradecast.config.settings import SETTINGS

    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    names = schema["properties"]["server"]["properties"]["settings"]["propertyNames"]["enum"]
    assert set(names) == SETTINGS
    assert run("helm", "template", "t", CHART, "--set", "server.settings.PING_INTERVAL=20").returncode == 0


SETTINGS_REFUSED = """
PING_INTERVAL: -1
PING_TIMEOUT: 60000
CONNECT_TIMEOUT: 45 s
PUBLISH_BATCH: 1.5
HISTORY_EVENTS: 0
RECOVERY: maybe
ADAPTER_MODE: cluster
LOG_FORMAT: text
MAX_TCP_CONNECTIONS: many
RETAIN_VALUE_BYTES: 16Ki
"""


@each_helm
def test_the_schema_refuses_settings_with_which_no_server_starts(helm: str, tmp_path: Path) -> None:
    from tradecast.config.settings import SettingsError, load_settings

    values = yaml.safe_load(SETTINGS_REFUSED)
    for name, value in values.items():
        with pytest.raises(SettingsError, match=name):
            load_settings({name: str(value)})
    path = tmp_path / "values.yaml"
    path.write_text(json.dumps({"server": {"settings": values}}), encoding="utf-8")
    done = run(helm, "template", "t", CHART, "-f", path)
    assert done.returncode == 1
    assert {name for name in values if f"/server/settings/{name}" in done.stderr.replace(".", "/")} == values.keys()


SETTINGS_TAKEN: dict[str, tuple[Any, ...]] = {
    "PING_INTERVAL": (25, 0.5, "25", " 25.0 ", "2.5e1", "+5", ".5", 900),
    "PUBLISH_BATCH": (1, "64", "64.0", "1_000"),
    "RECOVERY": (True, False, 0, 1, "true", "False", "off", "YES", "n", "T"),
    "ADAPTER_MODE": ("auto", "Auto", " single "),
    "SESSION_CACHE_TTL": (0, "0"),
    "MAX_TCP_CONNECTIONS": (5, "5"),
    "SESSION_REQUIRE_SIGNED": (False, "off"),
    "CORS_ORIGIN": ("https://a.example.com", "*"),
    "TRUSTED_PROXIES": (20, "20"),
}


def test_the_schema_takes_settings_with_which_a_server_starts() -> None:
    from tradecast.config.settings import load_settings

    server = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["properties"]["server"]
    patterns = server["properties"]["settings"]["patternProperties"]
    for name, values in SETTINGS_TAKEN.items():
        found = [schema for pattern, schema in patterns.items() if re.search(pattern, name)]
        assert len(found) == (name != "CORS_ORIGIN")
        for value in values:
            load_settings({name: str(value)})
            assert all(_takes(schema, value) for schema in found), (name, value)


def _takes(schema: dict[str, Any], value: Any) -> bool:
    if "anyOf" in schema:
        return any(_takes(one, value) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds: dict[str, Any] = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}
    return (
        isinstance(value, kinds[schema["type"]])
        and (isinstance(value, bool) == (schema["type"] == "boolean"))
        and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
        and schema.get("minimum", value) <= value <= schema.get("maximum", value)
    )


def test_pods_listen_on_both_families() -> None:
    """What an IPv4 address would do on a cluster of IPv6 alone: fail every probe."""
    from tradecast.config.addresses import EVERYWHERE
    from tradecast.config.settings import load_settings

    for values in VALUES:
        for one in objects(rendered("helm", values)):
            for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
                assert "0.0.0.0" not in json.dumps([container.get("args"), container.get("env")]), container["name"]
                for argument in container.get("args", ()):
                    if argument.startswith("--host="):
                        assert load_settings({"HOST": argument.removeprefix("--host=")}).host == EVERYWHERE
    assert load_settings({}).host == load_settings({}).admin_host == load_settings({}).internal_host == EVERYWHERE


def test_services_of_both_families() -> None:
    done = run(
        *("helm", "template", "t", CHART, "--show-only", "templates/service.yaml"),
        *("--set", "service.ipFamilyPolicy=PreferDualStack,service.ipFamilies={IPv6,IPv4}"),
    )
    for service in objects(done.stdout):
        assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
        assert service["spec"]["ipFamilies"] == ["IPv6", "IPv4"]


def test_an_install_asks_the_cluster_for_its_own_objects_only() -> None:
    """By name: whoever may install them may read them. A list needs a right that an installer may not have."""
    asked = [
        (path.name, *found)
        for path in sorted((CHART / "templates").rglob("*"))
        if path.is_file()
        for found in re.findall(r"\blookup +(\S+) +(\S+) +(\S+) +(\([^)]*\)|[^\s)]+)", path.read_text(encoding="utf-8"))
    ]
    assert {kind for _, _, kind, _, _ in asked} == {'"Deployment"', '"Secret"', '"Service"', '"SocketFleet"'}
    for path, _, kind, namespace, name in asked:
        assert namespace.removeprefix("$").removeprefix(".root") == ".Release.Namespace", (
            f"{path} asks for a {kind} of another namespace"
        )
        assert name in ("$name", '(include "tradecast.fullname" .)'), f"{path} asks for {kind} {name}"


@each_helm
@pytest.mark.parametrize(("tokens", "same"), [("mine", True), ("", False)])
def test_to_switch_the_operator_on_rolls_no_servers_where_they_have_a_token(helm: str, tokens: str, same: bool) -> None:
    pods = []
    for enabled in ("true", "false"):
        values = ("--set", f"operator.enabled={enabled}", "--set", f"tokens.existingSecret={tokens}")
        done = run(helm, "template", "tradecast", CHART, "--show-only", "templates/deployment.yaml", *values)
        assert done.returncode == 0, done.stderr
        pods.append(yaml.safe_load(done.stdout)["spec"]["template"])
    assert (pods[0] == pods[1]) is same


@each_helm
def test_the_package_has_what_an_install_needs_and_nothing_else(helm: str, tmp_path: Path) -> None:
    done = run(helm, "package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        names = {name.removeprefix("tradecast/") for name in archive.getnames()}
    assert {
        "Chart.yaml", "README.md", "values.yaml", "values.schema.json", "values-production.yaml", "templates/NOTES.txt",
        "templates/tests/roundtrip.yaml", "files/alerts.yaml", "files/dashboards/fleet.json",
    } <= names  # fmt: skip
    assert not [name for name in names if name.startswith(("ci/", "tests/")) or "kustomization" in name]


def test_versions_agree() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{chart["appVersion"]}"' in project
    assert chart["version"] == chart["appVersion"]
    assert f"ghcr.io/tradecast/tradecast:{chart['appVersion']}" in rendered("helm", VALUES[0])


def test_the_tools_are_the_versions_that_are_pinned() -> None:
    assert "v4" in run("helm", "version", "--short").stdout
    assert "v3" in run("helm3", "version", "--short").stdout
    assert find("kubeconform")
