"""How Trivy is found and called: the right program, the right words, nothing inherited."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.ops.trivy_program import Trivy
from worker.evidence.image.options import ScanOptions
from worker.evidence.image.trivy_cli import (
    ImageCommand,
    child_environment,
    convert_argv,
    download_argv,
    image_argv,
    server_argv,
)

TRIVY = Trivy(path="/bin/trivy", version="0.76.0")


def command(**fields: object) -> ImageCommand:
    """Return a command with `fields` changed."""
    values: dict[str, object] = {
        "reference": "r.example/a@sha256:" + "0" * 64,
        "platform": "linux-arm64-v8",
        "options": ScanOptions(),
        "server_url": "http://127.0.0.1:1",
        "cache_dir": Path("/cache"),
        "output": Path("/out.json"),
        "timeout_s": 12.4,
        "insecure": False,
    }
    return ImageCommand(**(values | fields))  # type: ignore[arg-type] # a test's shorthand


def test_nothing_of_our_environment_is_inherited_but_proxies_and_certificates() -> None:
    """The scanner reads foreign images: no token and no password may be in its reach."""
    ours = {
        "HTTPS_PROXY": "http://proxy:3128",
        "SSL_CERT_FILE": "/ca.pem",
        "SLUICE_REDIS_URL": "redis://:password@host",
        "AWS_SECRET_ACCESS_KEY": "x",
        "KUBECONFIG": "/kube",
        "TRIVY_USERNAME": "x",
        "TRIVY_SEVERITY": "LOW",
        "HOME": "/root",
        "PATH": "/bin",
    }
    child = child_environment(ours, Path("/scratch"), more={"DOCKER_CONFIG": "/secrets"})
    inherited = {name: value for name, value in child.items() if not name.startswith("TRIVY_")}
    assert inherited == {
        "HTTPS_PROXY": "http://proxy:3128",
        "SSL_CERT_FILE": "/ca.pem",
        "HOME": "/scratch",
        "TMPDIR": "/scratch",
        "DOCKER_CONFIG": "/secrets",
    }
    assert "TRIVY_USERNAME" not in child
    assert "TRIVY_SEVERITY" not in child


def test_a_scan_looks_for_no_updates_and_never_calls_home() -> None:
    """An inventory may ask the registry and the match server, nobody else."""
    child = child_environment({}, Path("/scratch"))
    for name in ("SKIP_DB_UPDATE", "SKIP_JAVA_DB_UPDATE", "OFFLINE_SCAN", "DISABLE_TELEMETRY"):
        assert child[f"TRIVY_{name}"] == "true"
    download = child_environment({}, Path("/scratch"), offline=False)
    assert "TRIVY_SKIP_DB_UPDATE" not in download
    assert download["TRIVY_DISABLE_TELEMETRY"] == "true"


def test_the_image_command_says_what_the_job_says() -> None:
    """Every field of a job has its word."""
    options = ScanOptions(skip_files=("/a", "/b"), skip_dirs=("/c",))
    argv = image_argv(TRIVY, command(options=options))
    assert argv == (
        "/bin/trivy",
        "image",
        "--server=http://127.0.0.1:1",
        "--cache-dir=/cache",
        "--image-src=remote",
        "--format=json",
        "--output=/out.json",
        "--scanners=vuln,secret",
        "--list-all-pkgs",
        "--image-config-scanners=secret",
        "--skip-files=/a",
        "--skip-files=/b",
        "--skip-dirs=/c",
        "--platform=linux/arm64/v8",
        "--timeout=12s",
        "--",
        "r.example/a@sha256:" + "0" * 64,
    )


def test_without_the_secret_scanner_the_configuration_is_not_searched() -> None:
    """One switch for both."""
    argv = image_argv(TRIVY, command(options=ScanOptions(scanners=("vuln",))))
    assert "--scanners=vuln" in argv
    assert "--image-config-scanners=secret" not in argv


def test_an_insecure_registry_must_be_allowed() -> None:
    """Plain HTTP and unknown certificates are an explicit choice."""
    assert "--insecure" not in image_argv(TRIVY, command())
    assert "--insecure" in image_argv(TRIVY, command(insecure=True))


def test_a_reference_is_never_taken_for_an_option() -> None:
    """The name comes from a tenant."""
    argv = image_argv(TRIVY, command(reference="--config=/etc/passwd"))
    assert argv[-2:] == ("--", "--config=/etc/passwd")


def test_both_databases_are_downloaded_from_where_the_setting_says() -> None:
    """An empty setting leaves Trivy's own default."""
    cache = Path("/c")
    assert download_argv(TRIVY, cache, repository="r/db:2", java=False, insecure=True) == (
        "/bin/trivy",
        "image",
        "--cache-dir=/c",
        "--download-db-only",
        "--db-repository=r/db:2",
        "--insecure",
    )
    assert download_argv(TRIVY, cache, repository="", java=True, insecure=False) == (
        "/bin/trivy",
        "image",
        "--cache-dir=/c",
        "--download-java-db-only",
    )


def test_the_server_never_updates_itself() -> None:
    """Its version must stay what it was started with, or matches are labelled wrongly."""
    assert "--skip-db-update" in server_argv(TRIVY, Path("/c"), listen=":4954")


def test_a_report_is_converted_without_options_of_its_own() -> None:
    """The document's scope is decided in our projection."""
    argv = convert_argv(TRIVY, Path("/r.json"), Path("/o.json"))
    assert argv == (
        "/bin/trivy", "convert", "--format=cyclonedx", "--output=/o.json", "--", "/r.json",
    )  # fmt: skip


def test_equal_options_have_one_digest_whatever_their_order() -> None:
    """It stands in every image key: a second spelling would scan everything twice."""
    one = ScanOptions(skip_files=("a", "b", "a"), scanners=("vuln", "secret"))
    other = ScanOptions(skip_files=("b", "a"), scanners=("secret", "vuln"))
    assert one.digest() == other.digest()
    assert len(one.digest()) == 8


def test_lists_that_a_workload_chooses_never_have_a_digest_of_the_settings() -> None:
    """Eight digits are searched through in minutes; a list must not stand for another's image."""
    ours = ScanOptions(skip_files=("/a", "/b"))
    assert ours.chosen_digest(None, None) == ours.digest()
    assert ours.chosen_digest(("/b", "/a"), ()) == ours.digest()
    assert len({ours.chosen_digest(files, None) for files in ((), ("/a",), ("/c",))}) == 3
    assert len(ours.chosen_digest((), None)) == 32
    assert ours.chosen((), None) == ScanOptions()


@pytest.mark.parametrize(
    "other",
    [
        ScanOptions(scanners=("vuln",)),
        ScanOptions(skip_files=("a",)),
        ScanOptions(skip_dirs=("a",)),
        ScanOptions(sbom=False),
    ],
)
def test_options_that_change_an_inventory_change_the_digest(other: ScanOptions) -> None:
    """Otherwise the old inventories would stand for what was never looked for."""
    assert other.digest() != ScanOptions().digest()
