"""The chart's objects: names, labels, definitions, Redis, notes."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from common.reports.crds import definitions
from common.settings.parse import parse
from tests.charts.rendered import (
    CHART,
    SCENARIOS,
    environment,
    mounts,
    render,
    values,
)

LARGE = CHART / "presets" / "large.yaml"
LONGEST = "r" * 53  # Helm refuses longer releases
LABEL_LIMIT = 63


def test_the_definitions_are_what_the_code_makes() -> None:
    """The chart and `sluice crds --install` must not argue."""
    text = (CHART / "crds" / "reports.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load_all(text)) == definitions(), (
        "run: sluice crds > charts/kube-sluice/crds/reports.yaml"
    )


def test_helm_finds_the_definitions_and_never_renders_them() -> None:
    """Helm creates those of crds/ that are missing, leaves trivy-operator's, and deletes none."""
    with helm_python.Chart.load(CHART) as chart:
        (file,) = {one["data"] for one in chart.crds}
    found = list(yaml.load_all(file, Loader=yaml.CSafeLoader))
    assert found == definitions()
    assert "CustomResourceDefinition" not in {each["kind"] for each in render().manifests}


@pytest.mark.parametrize("release", ["kube-sluice", "a", LONGEST, f"{'r' * 39}-x"])
def test_names_fit_and_are_names_with_every_release(release: str) -> None:
    """A StatefulSet's Pods carry its name and a hash in a label, which ends at 63."""
    everything = values(CHART / "ci" / "03-all-values.yaml")
    pools = {"worker": {"pools": {"p" * 15: {"serves": ["reconcile", "scan"]}}}}
    for changes in ({}, everything, pools):
        for manifest in render(changes, name=release).manifests:
            name = manifest["metadata"]["name"]
            assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name), name
            # Of a Deployment the API server cuts the names of Pods; no label has its own name.
            room = 11 if manifest["kind"] == "StatefulSet" else 0
            assert len(name) <= LABEL_LIMIT - room, name
            for value in manifest["metadata"]["labels"].values():
                assert len(value) <= LABEL_LIMIT


def test_an_upgrade_restarts_nobody_whom_it_does_not_concern(tmp_path: Path) -> None:
    """Of the chart alone: no Pod. Of the program: not Redis, for which everybody would wait."""
    before = render().pods()
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    told = (copy / "Chart.yaml").read_text(encoding="utf-8")
    newer = re.sub(r"(?m)^version: .*$", "version: 9.9.9", told)
    (copy / "Chart.yaml").write_text(newer, encoding="utf-8")
    assert render(chart=copy).pods() == before
    newest = re.sub(r"(?m)^appVersion: .*$", 'appVersion: "9.9.9"', newer)
    (copy / "Chart.yaml").write_text(newest, encoding="utf-8")
    after = render(chart=copy).pods()
    assert {name for name, pod in after.items() if pod != before[name]} == {
        "watcher", "worker", "matcher",
    }  # fmt: skip


def test_names_are_told_apart_by_release_and_can_be_chosen() -> None:
    """Two charts in one namespace must not share a Secret."""
    assert render(name="team").one("Secret", "redis")["metadata"]["name"] == (
        "team-kube-sluice-redis"
    )
    chosen = render({"fullnameOverride": "scan"})
    assert {each["metadata"]["name"].split("-")[0] for each in chosen.manifests} == {"scan"}


def test_selectors_hold_nothing_that_an_upgrade_changes() -> None:
    """A selector is immutable: with a version in it the first upgrade fails."""
    for manifest in [*render().manifests, *render(values(LARGE)).manifests]:
        selector = manifest.get("spec", {}).get("selector")
        if selector is None or manifest["kind"] == "PodDisruptionBudget":  # whose may change
            continue
        chosen = selector.get("matchLabels", selector)
        assert set(chosen) <= {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
            "kube-sluice/metrics",
            "kube-sluice/pool",
        }
        if "matchLabels" in selector:
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            assert chosen.items() <= labels.items()


def test_each_service_selects_the_pods_it_is_for() -> None:
    """By labels that those Pods have, at a port that they name."""
    chart = render()
    expected = {
        "redis": {"redis"},
        "matcher": {"matcher"},
        "metrics": {"watcher", "worker", "matcher"},
    }
    for name, wanted in expected.items():
        spec = chart.one("Service", name)["spec"]
        chosen = {
            component
            for component, pod in chart.pods().items()
            if spec["selector"].items() <= pod["metadata"]["labels"].items()
        }
        assert chosen == wanted
        for component in wanted:
            named = {p["name"] for p in chart.containers()[component]["ports"]}
            assert spec["ports"][0]["targetPort"] in named


def test_every_object_is_in_the_releases_namespace_or_in_none() -> None:
    """`helm template | kubectl apply` has no other way to know."""
    for manifest in render(namespace="elsewhere").manifests:
        is_global = manifest["kind"] in ("ClusterRole", "ClusterRoleBinding")
        assert manifest["metadata"].get("namespace") == (None if is_global else "elsewhere")


# --- Redis


def test_redis_forgets_nothing_and_evicts_nothing() -> None:
    """Trap 2 begins with an eviction, trap 1 with a lost append-only file."""
    chart = render({"redis": {"maxMemoryMb": 256}})
    text = chart.one("ConfigMap", "redis")["data"]["valkey.conf"]
    told = dict(line.split(" ", 1) for line in text.splitlines())
    assert told["maxmemory-policy"] == "noeviction"
    assert (told["appendonly"], told["appendfsync"]) == ("yes", "everysec")
    assert told["maxmemory"] == "256mb"
    assert "/data" in {m["mountPath"] for m in chart.containers()["redis"]["volumeMounts"]}
    (claim,) = chart.one("StatefulSet", "redis")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"


@pytest.mark.parametrize("limit", ["1Gi", "2047Mi"])
def test_a_redis_that_the_kernel_would_end_before_it_refuses_is_refused(limit: str) -> None:
    """Whoever raises one number forgets the other."""
    redis = {"maxMemoryMb": 2048, "resources": {"limits": {"memory": limit}}}
    with pytest.raises(Exception, match=r"--set redis\.resources\.limits\.memory=4096Mi"):
        render({"redis": redis})
    for enough in ("2Gi", "2048Mi", "3000000000", "3G"):
        render({"redis": {**redis, "resources": {"limits": {"memory": enough}}}})


def test_no_argument_and_no_variable_holds_the_password() -> None:
    """Both are seen by everybody on the node; the server reads a file in memory."""
    redis = render().containers()["redis"]
    assert "env" not in redis
    *_, start = redis["command"][-1].strip().splitlines()
    assert start == "exec valkey-server /etc/valkey/valkey.conf"
    place = mounts(render().pods()["redis"], "redis")["/tmp"]  # noqa: S108 # a mount
    assert place["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize("made_by", ["chart", "compose"])
@pytest.mark.parametrize(
    ("password", "starts"),
    [
        ("correct\n", True),
        ('q"\\ $x', True),
        ("", False),
        ("\n", False),
        ("a\nb", False),
        ("a\r\n", False),
    ],
)
def test_redis_starts_with_one_line_as_its_password(
    tmp_path: Path, made_by: str, password: str, *, starts: bool
) -> None:
    """An empty one would open it to everybody; of two lines it would log the first one."""
    if made_by == "chart":
        *shell, script = render().containers()["redis"]["command"]
    else:
        compose = yaml.safe_load((CHART.parents[1] / "docker-compose.yml").read_text("utf-8"))
        redis = compose["services"]["redis"]
        shell, script = redis["entrypoint"], redis["command"][0].replace("$$", "$")
    secret = tmp_path / "password"
    secret.write_bytes(password.encode())
    script = re.sub(r"(?<=> )/tmp\b", str(tmp_path), script).replace("exec valkey-server", "echo")
    script = re.sub(r"/run/secrets/redis[-/]password", str(secret), script)
    done = subprocess.run([*shell, script], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is starts
    assert starts or "password" in done.stderr
    assert not password.strip() or password.strip().splitlines()[0] not in done.stderr.split()


def test_the_components_use_the_charts_own_redis() -> None:
    """At its Service, with the password that the chart made."""
    chart = render()
    name = chart.one("Service", "redis")["metadata"]["name"]
    for component in ("watcher", "worker", "matcher"):
        redis = parse(environment(chart.containers()[component])).redis
        assert redis.address is not None
        assert redis.address.shown == f"redis://{name}.security.svc:6379/0"
        folder, _, file = redis.password_file.rpartition("/")
        secret = mounts(chart.pods()[component], component)[folder]["secret"]
        assert secret["secretName"] == name
        assert secret["items"] == [{"key": "password", "path": file}]


def test_the_made_password_is_long_and_new_for_each_release() -> None:
    """Two of them equal would mean that it is no secret."""
    made = [base64.b64decode(render().one("Secret", "redis")["data"]["password"]) for _ in range(2)]
    assert made[0] != made[1]
    assert all(re.fullmatch(rb"[A-Za-z0-9]{32}", one) for one in made)


def test_a_redis_of_yours_replaces_the_charts() -> None:
    """Nothing of it is left, and certificates are checked against yours."""
    chart = render(values(CHART / "ci" / "02-external-redis-values.yaml"))
    assert "redis" not in chart.pods()
    assert not {e["kind"] for e in chart.manifests} & {"StatefulSet", "ConfigMap"}
    with pytest.raises(KeyError):
        chart.one("Secret", "redis")
    for component in ("watcher", "worker", "matcher"):
        redis = parse(environment(chart.containers()[component])).redis
        assert redis.address is not None
        assert redis.address.shown == "rediss://redis.example.com:6380/2"
        mounted = mounts(chart.pods()[component], component)
        assert mounted["/run/secrets/redis"]["secret"]["secretName"] == "team-redis"
        assert mounted["/run/secrets/redis"]["secret"]["items"][0]["key"] == "auth"
        assert redis.ca_file == "/run/secrets/redis-ca/ca.crt"
        assert mounted["/run/secrets/redis-ca"]["configMap"]["name"] == "team-ca"


def test_a_redis_of_yours_may_have_no_password() -> None:
    """Then nothing is mounted and nothing is told."""
    chart = render({"redis": {"url": "redis://cache:6379"}})
    assert parse(environment(chart.containers()["worker"])).redis.password_file == ""
    assert "/run/secrets/redis" not in mounts(chart.pods()["worker"], "worker")


def test_an_existing_secret_serves_the_charts_redis_too() -> None:
    """For those who render without a cluster: the chart then makes no password."""
    chart = render({"redis": {"existingSecret": "mine", "existingSecretKey": "pass"}})
    with pytest.raises(KeyError):
        chart.one("Secret", "redis")
    for component in ("redis", "worker"):
        mounted = mounts(chart.pods()[component], component)["/run/secrets/redis"]["secret"]
        assert (mounted["secretName"], mounted["items"][0]["key"]) == ("mine", "pass")


# --- matcher, notes


@pytest.mark.parametrize(("size_gi", "layers_gb"), [(8, 5), (100, 97), (4, 1), (1, 1)])
def test_the_layer_cache_leaves_room_for_databases(size_gi: int, layers_gb: int) -> None:
    """Beyond its limit the Pod is evicted, and with it the server."""
    chart = render({"matcher": {"persistence": {"sizeGi": size_gi}}})
    settings = parse(environment(chart.containers()["matcher"]))
    assert settings.limits.layer_cache_gb == layers_gb


def test_a_token_of_yours_replaces_the_charts() -> None:
    """Argo CD renders without the cluster: there a made one would be new each time."""
    made = render().one("Secret", "matcher")
    assert len(base64.b64decode(made["data"]["token"])) == 40
    assert made != render().one("Secret", "matcher")
    own = render({"matcher": {"existingSecret": "mine", "existingSecretKey": "word"}})
    with pytest.raises(KeyError):
        own.one("Secret", "matcher")
    for pod in own.pods().values():
        for volume in pod["spec"]["volumes"]:
            if volume["name"] == "match-token":
                assert volume["secret"]["secretName"] == "mine"
                assert volume["secret"]["items"] == [{"key": "word", "path": "token"}]


def test_the_matchers_folder_is_a_volume_of_its_own() -> None:
    """Layer caches must never live in the queue's Redis; a claim keeps them over restarts."""
    plain = mounts(render().pods()["matcher"], "matcher")["/var/lib/sluice"]
    assert plain["emptyDir"] == {"sizeLimit": "8Gi"}
    chart = render({"matcher": {"persistence": {"enabled": True, "sizeGi": 20}}})
    claimed = mounts(chart.pods()["matcher"], "matcher")["/var/lib/sluice"]
    claim = chart.one("PersistentVolumeClaim", "matcher")
    assert claimed["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_notes_say_what_to_do_next(scenario: Path) -> None:
    """With names that exist in this release."""
    chart = render(values(scenario), name="team", namespace="scanning")
    names = {e["metadata"]["name"] for e in chart.manifests}
    for kind in ("deployment/", "describe hpa ", "describe scaledobject "):
        for name in re.findall(rf"{kind}(\S+)", chart.notes):
            assert name in names
    assert "helm test team --namespace scanning" in chart.notes
    assert "-n scanning" in chart.notes
    assert "sluice status" in chart.notes
    assert "kubectl get vulnerabilityreports" in chart.notes
    assert ("pullSecrets is false" in chart.notes) == ("no-secrets" in scenario.stem)
    assert ("sluice crds --upgrade" in chart.notes) == ("namespaces" in scenario.stem)


def test_status_is_asked_where_a_scanner_runs() -> None:
    """With pools there is no Deployment `worker`; the canary needs a scanner beside it."""
    notes = render(values(LARGE)).notes
    assert "deployment/kube-sluice-worker-scan -c worker -- sluice status" in notes


def test_the_notes_do_not_call_private_images_lost_where_a_program_signs_in() -> None:
    """Without pull secrets there are still the clouds' credentials."""
    off = {"rbac": {"pullSecrets": False}}
    provider = {"credentialProvider": {"configMap": "providers", "folder": "/opt"}}
    assert "--set registries.credentialProvider.configMap=" in render(off).notes
    notes = render({**off, "registries": provider}).notes
    assert "(registries.credentialProvider is set)" in notes
    assert "cannot be scanned" not in notes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networkPolicy": {"enabled": False}}, "networkPolicy.enabled is false"),
        ({"redis": {"persistence": {"enabled": False}}}, "redis.persistence.enabled is false"),
        ({"crds": {"upgrade": False}}, "No Job upgrades the report definitions"),
        ({"worker": {"autoscaling": {"by": "hpa"}}}, "describe hpa kube-sluice-worker"),
    ],
)
def test_the_notes_say_what_a_value_costs(changes: dict[str, Any], words: str) -> None:
    """And nothing of it where it is as it was."""
    assert words in render(changes).notes
    assert words not in render().notes
