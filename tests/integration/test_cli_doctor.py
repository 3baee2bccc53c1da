"""`sluice doctor` and `sluice crds` against real parts, well and ill."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from common.cli import parts
from common.cli.main import main
from common.cli.tables import RunNote
from common.model.circuit import Fail
from common.settings.parse import parse
from common.state.circuits import CircuitTable
from common.state.database import DatabaseRow, DatabaseTable
from common.state.names import Names
from sandbox.controlplane import ControlPlane
from sandbox.registry import Registry
from sandbox.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _settings(
    monkeypatch: pytest.MonkeyPatch, controlplane: ControlPlane, valkey: Valkey, names: Names
) -> None:
    """Point the command at the session's parts."""
    monkeypatch.setenv("SLUICE_REDIS_URL", valkey.socket_url)
    monkeypatch.setenv("SLUICE_CLUSTER", names.cluster)
    monkeypatch.setenv("SLUICE_KUBECONFIG", str(controlplane.kubeconfig))
    # Nothing may leave this machine: an address where nobody listens.
    monkeypatch.setenv("TRIVY_DB_REPOSITORY", "127.0.0.1:1/aqua/trivy-db:2")


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, list[dict[str, str]]]:
    """Run the doctor and return what it found, by topic."""
    assert main(["doctor", "--json"]) in (0, 1)
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(capsys.readouterr().out):
        found.setdefault(finding["topic"], []).append(finding)
    return found


def test_real_parts_are_recognised(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is well is told as well, with versions."""
    monkeypatch.setenv("TRIVY_DB_REPOSITORY", f"{registry.address}/aqua/trivy-db:2")
    monkeypatch.setenv("TRIVY_INSECURE", "true")
    assert main(["crds", "--install"]) == 0
    capsys.readouterr()
    found = findings(capsys)
    assert {
        each["state"]
        for topic in found
        if topic not in {"database", "watcher"}
        for each in found[topic]
    } == {"good"}
    assert "Trivy" in found
    assert "sandbox" in found["cluster"][0]["said"]
    assert found["definitions"][0]["said"] == "12 of 12 installed by kube-sluice"


def test_a_fault_makes_the_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A script that runs the doctor before an upgrade looks at nothing else."""
    assert main(["crds", "--install"]) == 0
    capsys.readouterr()
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "FAULT  database: no matcher" in out
    assert "FAULT  registry: 127.0.0.1:1" in out
    assert out.count("remedy: ") == out.count("FAULT ")
    assert "FAULT  watcher: no watcher is alive" in out
    assert "3 faults" in err


def test_a_registry_that_only_the_matcher_reaches_is_no_fault(
    redis_client: Redis, names: Names, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor often runs on a laptop, outside of the cluster's network."""
    table, now = DatabaseTable(redis_client, names), datetime.now(tz=UTC)
    table.publish(DatabaseRow(version=now.isoformat(), server_url="http://127.0.0.1:1"))
    (registry,) = findings(capsys)["registry"]
    assert registry["state"] == "notice"
    old = (now - timedelta(days=9)).isoformat()
    table.publish(DatabaseRow(version=old, server_url="http://127.0.0.1:1"))
    (registry,) = findings(capsys)["registry"]
    assert registry["state"] == "fault"


def test_every_ill_part_is_told_even_when_all_are_ill(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is away must not hide the state of the others."""
    monkeypatch.setenv("SLUICE_REDIS_URL", "redis://:hunter2@127.0.0.1:1")
    monkeypatch.setenv("SLUICE_KUBECONFIG", "/nowhere/kubeconfig")
    monkeypatch.setenv("SLUICE_TRIVY_PATH", "/nowhere/trivy")
    found = findings(capsys)
    ill = {topic for topic, each in found.items() if each[0]["state"] == "fault"}
    assert ill == {"Redis", "cluster", "Trivy", "registry"}
    assert all(each[0]["remedy"] for topic, each in found.items() if topic in ill)
    assert "hunter2" not in json.dumps(found)


def test_a_redis_that_may_evict_is_a_fault(
    redis_client: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trap 2 begins with an eviction."""
    before = {"maxmemory": "0", "maxmemory-policy": "noeviction"}
    try:
        redis_client.config_set("maxmemory", "1gb")
        redis_client.config_set("maxmemory-policy", "allkeys-lru")
        (fault,) = findings(capsys)["Redis eviction"]
    finally:
        for name, text in before.items():
            redis_client.config_set(name, text)
    assert fault["state"] == "fault"
    assert "noeviction" in fault["remedy"]


def test_an_open_circuit_is_a_fault_with_the_next_step(
    redis_client: Redis, names: Names, capsys: pytest.CaptureFixture[str]
) -> None:
    """`Everything is ok` while no image of a registry is scanned would be a lie."""
    circuits = CircuitTable(redis_client, names)
    for key in "abc":
        failure = Fail(key=key, failed_before=False, reason="Away", message="no route to host")
        circuits.failed("registry/quay.io", failure)
    circuits.failed("api-server", failure)
    api, quay = findings(capsys)["circuits"]
    assert (api["state"], quay["state"]) == ("notice", "fault")
    assert "no route to host" in quay["said"]
    assert "quay.io" in quay["remedy"]
    circuits.succeeded("registry/quay.io")
    assert [each["state"] for each in findings(capsys)["circuits"]] == ["notice", "good"]


def test_definitions_are_installed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The second run finds them all there, whoever made them."""
    assert main(["crds", "--install"]) == 0
    capsys.readouterr()
    assert main(["crds", "--install"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "0 definitions created, 12 there already" in err


def test_beside_a_run_the_doctor_tells_of_the_runs_settings(
    tmp_path: Path,
    valkey: Valkey,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A shell that was opened later knows nothing of the environment in which the run began."""
    monkeypatch.delenv("SLUICE_REDIS_URL")
    monkeypatch.delenv("SLUICE_CLUSTER")
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TRIVY_SEVERITY", "LOW")
    told = {"TRIVY_IGNORE_UNFIXED": "true", "TRIVY_DB_REPOSITORY": "127.0.0.1:1/aqua/trivy-db:2"}
    note = RunNote(
        pid=os.getpid(), redis_url=valkey.socket_url, cluster=names.cluster, settings=told
    )
    with parts.noted(parse({"SLUICE_DATA_DIR": str(tmp_path)}), note):
        said = [each["said"] for each in findings(capsys)["settings"]]
    by = f"from `sluice run` (process {os.getpid()})"
    assert f"TRIVY_IGNORE_UNFIXED: true, {by}" in said
    assert not any(line.startswith("TRIVY_SEVERITY") for line in said)


def test_brief_leaves_out_what_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    """Forty lines of `ok` hide the one that is not."""
    assert main(["doctor", "--brief"]) == 1
    out, err = capsys.readouterr()
    assert not any(line.startswith("ok") for line in out.splitlines())
    assert "FAULT  watcher: no watcher is alive" in out
    assert "note" in err
