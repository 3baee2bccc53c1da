"""What runs in the Pods that the chart makes, and what it may not do there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from charts.schema import SET_BY_THE_CHART
from common.settings.parse import parse
from common.settings.table import ROWS
from tests.charts.rendered import (
    CHART,
    NAMESPACE,
    RELEASE,
    SCENARIOS,
    Manifest,
    Rendered,
    all_containers,
    environment,
    mounts,
    render,
    values,
)
from tests.charts.test_files import BY_VALUE_OR_SETTING

OURS = ("watcher", "worker", "scanner", "matcher")
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 # a path


@pytest.fixture(params=SCENARIOS, ids=lambda path: path.stem)
def chart(request: pytest.FixtureRequest) -> Rendered:
    """Give every scenario of ci/."""
    path: Path = request.param
    return render(values(path))


def containers(chart: Rendered) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield every container with its Pod."""
    for pod in chart.templates():
        for container in all_containers(pod):
            yield pod, container


def test_every_container_is_locked_down(chart: Rendered) -> None:
    """As the restricted Pod security standard wants it, and a read-only root beyond it."""
    for pod, container in containers(chart):
        common, own = pod["spec"]["securityContext"], container["securityContext"]
        assert common["runAsNonRoot"] is True
        assert common["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["allowPrivilegeEscalation"] is False
        assert own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in own
        assert int(own.get("runAsUser", common["runAsUser"])) > 0


def test_every_container_has_requests_and_a_memory_limit(chart: Rendered) -> None:
    """Without requests it is the first to be evicted, without a limit others are."""
    for _, container in containers(chart):
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_no_pod_gets_service_links_or_a_token_of_its_own(chart: Rendered) -> None:
    """SLUICE_…_PORT variables would stop the start; a token goes where it is mounted by hand."""
    for pod in chart.templates():
        assert pod["spec"]["enableServiceLinks"] is False
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_every_account_is_closed_by_default(chart: Rendered) -> None:
    """A Pod that somebody adds to it gets no token by accident."""
    accounts = [each for each in chart.manifests if each["kind"] == "ServiceAccount"]
    assert len(accounts) == 3
    assert all(each["automountServiceAccountToken"] is False for each in accounts)


def test_watcher_worker_and_matcher_have_an_account_and_its_token(chart: Rendered) -> None:
    """Each its own: rights are given per component."""
    pods = chart.pods()
    for component in ("watcher", "worker", "matcher"):
        assert pods[component]["spec"]["serviceAccountName"] == f"{RELEASE}-{component}"
        token = mounts(pods[component], component)[TOKEN_FOLDER]["projected"]["sources"]
        assert token[0]["serviceAccountToken"]["path"] == "token"
        assert token[0]["serviceAccountToken"]["expirationSeconds"] <= 3607


def test_the_scanner_has_no_token_and_no_redis(chart: Rendered) -> None:
    """Law 9: the process that parses image content can neither read the cluster nor the queue."""
    pod = chart.pods()["worker"]
    mounted = mounts(pod, "scanner")
    match_token = mounted.pop("/run/secrets/match")
    assert set(match_token) == {"name", "secret"}
    login = mounted.pop("/run/secrets/databases", {"secret": {"items": []}})["secret"]
    assert {one["path"].rpartition(".")[2].lower() for one in login["items"]} <= {
        "username", "password", "dbrepositoryusername", "dbrepositorypassword",
    }  # fmt: skip
    mounted.pop("/run/secrets/registry-ca", None)  # certificates are public
    assert set(mounted) == {"/run/sluice", "/tmp", "/var/lib/sluice"}  # noqa: S108 # mounts
    assert all(set(volume) - {"name"} == {"emptyDir"} for volume in mounted.values())
    told = environment(chart.containers()["scanner"])
    assert not {name for name in told if "REDIS" in name or "KUBE" in name}
    assert "redis" not in str(chart.containers()["scanner"]).lower()


def test_the_scanner_is_another_user_than_the_worker(chart: Rendered) -> None:
    """Their containers share the Pod's network and the socket's folder, and nothing else."""
    pod = chart.pods()["worker"]
    scanner = chart.containers()["scanner"]["securityContext"]
    assert scanner["runAsUser"] != pod["spec"]["securityContext"]["runAsUser"]
    assert not pod["spec"].get("shareProcessNamespace")


def test_scanner_and_worker_meet_at_one_socket_with_one_group(chart: Rendered) -> None:
    """An emptyDir hands its fsGroup on, and `_listen` opens the socket to that group."""
    pod = chart.pods()["worker"]
    both = [mounts(pod, name)["/run/sluice"] for name in ("scanner", "worker")]
    assert both[0] == both[1]
    assert "emptyDir" in both[0]
    assert pod["spec"]["securityContext"]["fsGroup"] > 0
    paths = {
        parse(environment(chart.containers()[name])).trivy.scanner_socket
        for name in ("scanner", "worker")
    }
    assert paths == {"/run/sluice/scanner.sock"}


def test_the_scanner_outlives_its_worker() -> None:
    """A scanner that stops first would fail every scan that the worker drains."""
    pod = render().pods()["worker"]
    (sidecar,) = pod["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("scanner", "Always")


def test_only_redis_own_container_and_its_clients_see_the_password(chart: Rendered) -> None:
    """And they see a file: environment variables end up in crash reports."""
    holders = {
        container["name"]
        for pod, container in containers(chart)
        if "/run/secrets/redis" in mounts(pod, container["name"])
    }
    assert holders - {"redis"} == {"watcher", "worker", "matcher", "test"}
    for _, container in containers(chart):
        assert all("secretKeyRef" not in str(one) for one in container.get("env", ()))


def test_matcher_worker_and_scanner_share_one_token(chart: Rendered) -> None:
    """Who may store layers could hide findings; the watcher and Redis have no use for it."""
    names = set()
    for pod in chart.pods().values():
        sources = {each["name"]: each for each in pod["spec"].get("volumes", ())}
        for container in all_containers(pod):
            if "match-token" not in {each["name"] for each in container["volumeMounts"]}:
                continue
            names.add(container["name"])
            told = environment(container, namespace=NAMESPACE)
            assert told["SLUICE_TRIVY_TOKEN_FILE"] == "/run/secrets/match/token"  # noqa: S105
            assert sources["match-token"]["secret"]["defaultMode"] == 0o440
    assert names == {"matcher", "worker", "scanner"}


def test_every_environment_is_one_that_the_product_reads(chart: Rendered) -> None:
    """No error, and no warning either: the chart sets nothing that does nothing."""
    for name in OURS:
        assert parse(environment(chart.containers()[name])).warnings == ()


def test_all_components_follow_one_policy() -> None:
    """A worker with another severity than the watcher's would write other reports."""
    chart = render(values(CHART / "ci" / "03-all-values.yaml"))
    digests = {parse(environment(chart.containers()[name])).projection_digest() for name in OURS}
    assert digests == {
        parse({"TRIVY_SEVERITY": "HIGH,CRITICAL", "TRIVY_IGNORE_UNFIXED": "1",
               "OPERATOR_EXCLUDE_NAMESPACES": "kube-system,kube-public"}).projection_digest()
    }  # fmt: skip


def test_every_setting_reaches_every_component_as_it_was_written() -> None:
    """Text, numbers and booleans; YAML's numbers are floats to Helm."""
    settings: dict[str, Any] = {
        "SLUICE_DB_CHECK_INTERVAL_S": 604_800,
        "SLUICE_IMAGE_WAIT_S": 0.25,
        "TRIVY_INSECURE": True,
        "OPERATOR_SCAN_JOB_TIMEOUT": "90s",
    }
    chart = render({"settings": settings})
    for name in OURS:
        parsed = parse(environment(chart.containers()[name]))
        assert parsed.trivy.db_check_interval_s == 604_800
        assert parsed.pipeline.image_wait_s == 0.25
        assert parsed.trivy.insecure
        assert parsed.trivy.scan_timeout_s == 90


def test_large_numbers_arrive_as_they_were_written() -> None:
    """A float of a million is 1e+06 to Helm, which no program reads as a whole number."""
    redis = {"maxMemoryMb": 2_000_000, "resources": {"limits": {"memory": "4Ti"}}}
    chart = render({"scanner": {"memoryPerJobMb": 1_048_576}, "redis": redis})
    scanner = parse(environment(chart.containers()["scanner"]))
    assert scanner.trivy.scanner_memory_mb == 1_048_576
    assert "maxmemory 2000000mb" in chart.one("ConfigMap", "redis")["data"]["valkey.conf"]
    settings = {"OPERATOR_SCAN_JOB_TIMEOUT": 1_000_000, "SLUICE_IMAGE_WAIT_S": 2.5}
    told = environment(render({"settings": settings}).containers()["worker"])
    assert [told[name] for name in settings] == ["1000000", "2.5"]


@pytest.mark.parametrize(("jobs", "scratch_gi"), [(2, 10), (1, 1), (8, 1), (256, 20)])
def test_an_image_is_refused_before_the_kubelet_evicts_the_pod(jobs: int, scratch_gi: int) -> None:
    """What all jobs may write together is less than what the folder may hold."""
    chart = render({"scanner": {"jobs": jobs, "scratchGi": scratch_gi}})
    limits = parse(environment(chart.containers()["scanner"])).limits
    (pod,) = (pod for pod in chart.pods().values() if "scanner" in str(pod["spec"]))
    (scratch,) = (one for one in pod["spec"]["volumes"] if one["name"] == "scratch")
    assert scratch["emptyDir"]["sizeLimit"] == f"{scratch_gi}Gi"
    assert 0 < limits.scratch_mb * jobs <= scratch_gi * 1024 - 512


def test_a_folder_too_small_for_its_jobs_is_refused() -> None:
    """Shares of a few MB would refuse every image."""
    with pytest.raises(Exception, match="scratchGi is too small"):
        render({"scanner": {"jobs": 9, "scratchGi": 1}})


def test_nothing_that_the_chart_sets_may_be_set_twice(chart: Rendered) -> None:
    """Of two entries of one name the API server keeps both, and the second wins silently."""
    for _, container in containers(chart):
        names = [one["name"] for one in container.get("env", ())]
        assert len(names) == len(set(names))


def test_what_the_chart_sets_is_kept_out_of_the_settings(chart: Rendered) -> None:
    """Else a setting would stand twice in one container, and one of both would lose."""
    chosen = {name for path in SCENARIOS for name in values(path).get("settings", {})}
    honoured = {row.name for row in ROWS if row.honoured}
    for name in OURS:
        told = set(environment(chart.containers()[name]))
        assert (told - chosen) & honoured <= set(SET_BY_THE_CHART) | set(BY_VALUE_OR_SETTING)


def test_each_component_runs_its_own_pools() -> None:
    """One image, four commands; the match pool must not run twice."""
    found = {name: one["args"] for name, one in render().containers().items() if name in OURS}
    assert found == {
        "watcher": ["watcher"],
        "worker": ["worker", "--pool", "reconcile,scan"],
        "scanner": ["scanner"],
        "matcher": ["worker", "--pool", "match"],
    }


def test_what_nobody_elects_is_never_two() -> None:
    """A second matcher announces a second database; watchers without a Lease depose each other."""
    chart = render({"watcher": {"leaderElection": False}})
    for name in ("watcher", "matcher"):
        deployment = chart.one("Deployment", name)
        assert deployment["spec"]["replicas"] == 1
        assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert not parse(environment(chart.containers()["watcher"])).pipeline.leader_election


def test_a_watcher_is_replaced_by_one_that_stands_by_already() -> None:
    """Ready means loaded: the old one stops, and gives its Lease back, only then."""
    chart = render({"watcher": {"replicas": 3}})
    deployment = chart.one("Deployment", "watcher")
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    assert parse(environment(chart.containers()["watcher"])).pipeline.leader_election


def test_a_pod_may_drain_before_it_is_killed() -> None:
    """The grace covers SLUICE_DRAIN_S with a margin, whatever the value."""
    for drain_s in (0, 25, 600):
        chart = render({"worker": {"drainS": drain_s}})
        told = parse(environment(chart.containers()["worker"])).pipeline.drain_s
        grace_s = chart.pods()["worker"]["spec"]["terminationGracePeriodSeconds"]
        assert told == drain_s < grace_s
    for name in ("watcher", "matcher"):
        grace_s = chart.pods()[name]["spec"]["terminationGracePeriodSeconds"]
        assert grace_s > parse(environment(chart.containers()[name])).pipeline.drain_s


def test_a_worker_uses_every_slot_of_its_scanner() -> None:
    """Both are told the same number: fewer loops leave slots idle, more wait for them."""
    chart = render({"scanner": {"jobs": 5}})
    told = [parse(environment(chart.containers()[name])).trivy for name in ("worker", "scanner")]
    assert [one.scanner_jobs for one in told] == [5, 5]


def test_probes_ask_where_the_process_answers(chart: Rendered) -> None:
    """At the ports of the settings, which the chart leaves at their defaults."""
    for name in ("watcher", "worker", "matcher"):
        container = chart.containers()[name]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        ops = parse(environment(container)).ops
        assert (ports["health"], ports["metrics"]) == (
            ops.health_address.port,
            ops.metrics_address.port,
        )
        asked = {kind: container[kind]["httpGet"] for kind in container if kind.endswith("Probe")}
        assert asked == {
            "startupProbe": {"path": "/healthz", "port": "health"},
            "livenessProbe": {"path": "/healthz", "port": "health"},
            "readinessProbe": {"path": "/readyz", "port": "health"},
        }


def test_workers_find_the_matcher_where_its_service_is() -> None:
    """It announces this address in Redis; loopback would reach nobody."""
    chart = render()
    service = chart.one("Service", "matcher")
    trivy = parse(environment(chart.containers()["matcher"])).trivy
    name, (port,) = service["metadata"]["name"], service["spec"]["ports"]
    assert trivy.matcher_advertised_url == f"http://{name}.{NAMESPACE}.svc:{port['port']}"
    assert trivy.matcher_address.port == 4954
    (exposed,) = (p for p in chart.containers()["matcher"]["ports"] if p["name"] == "match")
    assert (port["targetPort"], exposed["containerPort"]) == ("match", 4954)


def test_all_writable_places_are_volumes_with_a_bound(chart: Rendered) -> None:
    """Law 10; and an unpacked image must not fill the node's disk."""
    for pod in chart.pods().values():
        for volume in pod["spec"]["volumes"]:
            if "emptyDir" in volume:
                assert re.fullmatch(r"\d+[MG]i", volume["emptyDir"]["sizeLimit"]), volume


def test_every_mount_has_its_volume_and_every_volume_a_mount(chart: Rendered) -> None:
    """A StatefulSet's claims count as volumes; a left-over volume is a left-over secret."""
    for manifest in chart.manifests:
        if manifest["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod = manifest["spec"]["template"]
        claims = manifest["spec"].get("volumeClaimTemplates", ())
        made = [one["name"] for one in pod["spec"]["volumes"]]
        made += [one["metadata"]["name"] for one in claims]
        used = {m["name"] for one in all_containers(pod) for m in one["volumeMounts"]}
        assert sorted(made) == sorted(used)


@pytest.mark.parametrize("name", ["watcher", "matcher"])
def test_scheduling_values_reach_the_pod(name: str) -> None:
    """Each component by its own block."""
    wanted: Mapping[str, Any] = {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "affinity": {"podAffinity": {}},
        "priorityClassName": "system-cluster-critical",
    }
    pods = render({name: dict(wanted)}).pods()
    for key, value in wanted.items():
        assert pods[name]["spec"][key] == value
        assert key not in pods["worker"]["spec"]


def test_images_may_be_pinned_by_digest() -> None:
    """Then the tag is for people and the digest for kubelets."""
    chart = render(values(CHART / "ci" / "03-all-values.yaml"))
    wanted = f"registry.example.com/security/kube-sluice:0.1.0@sha256:{'0' * 64}"
    assert {chart.containers()[name]["image"] for name in OURS} == {wanted}


def test_no_image_floats(chart: Rendered) -> None:
    """`latest` is another program after the next restart."""
    for _, container in containers(chart):
        _, colon, tag = container["image"].rpartition(":")
        assert colon
        assert tag
        assert "latest" not in container["image"]
