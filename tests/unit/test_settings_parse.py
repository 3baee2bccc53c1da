"""Settings: the environment becomes one value, and every fault of it is told at once."""

from __future__ import annotations

import dataclasses

import pytest

from common.model.errors import PreconditionError, SettingsError
from common.model.key import WORKLOAD_KINDS
from common.settings.formats import BindAddress
from common.settings.parse import parse

HOME = {"HOME": "/home/ada"}


def faults_of(**environ: str) -> str:
    """Return what `parse` says about an environment that it refuses."""
    with pytest.raises(SettingsError) as caught:
        parse(environ)
    return str(caught.value)


def test_an_empty_environment_gives_trivy_operators_defaults() -> None:
    """A drop-in behaves as its predecessor where nobody says otherwise."""
    settings = parse(HOME)
    assert settings.scope.target_workloads == WORKLOAD_KINDS
    assert settings.scope.target_namespaces == ()
    assert settings.scope.only_current_revisions
    assert settings.scanners.vulnerability
    assert settings.scanners.exposed_secret
    assert settings.scanners.sbom
    assert settings.trivy.scan_timeout_s == 300
    assert settings.reports.ttl == "24h0m0s"
    assert settings.reports.severities == ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
    assert settings.ops.metrics_address == BindAddress(host="", port=8080)
    assert settings.ops.health_address == BindAddress(host="", port=9090)
    assert settings.redis.address is None
    assert settings.warnings == ()


def test_our_fixed_names_have_their_promised_defaults() -> None:
    """The interface page fixes them: scripts rely on the numbers."""
    settings = parse(HOME)
    assert settings.trivy.db_check_interval_s == 3600
    assert settings.pipeline.image_wait_s == 60
    assert settings.pipeline.lease_s == 15
    assert settings.pipeline.sweep_interval_s == 600
    assert settings.ops.log_format == "auto"
    assert settings.ops.status_address.port == 8081


def test_every_fault_is_told_at_once() -> None:
    """Who fixes one variable, restarts and meets the next one loses an afternoon."""
    said = faults_of(
        SLUICE_LEASE_S="soon",
        OPERATOR_SCAN_JOB_TIMEOUT="5 minutes",
        TRIVY_SEVERITY="HIGH,GRAVE",
        SLUICE_REDIS_ULR="redis://localhost",
    )
    assert said.startswith("4 settings are wrong:")
    assert "SLUICE_LEASE_S is 'soon'; write a number from 1 to 3600" in said
    assert "OPERATOR_SCAN_JOB_TIMEOUT is '5 minutes'; write a Go duration" in said
    assert "TRIVY_SEVERITY has 'GRAVE'; known are UNKNOWN, LOW, MEDIUM, HIGH, CRITICAL" in said
    assert "SLUICE_REDIS_ULR is not a setting; did you mean SLUICE_REDIS_URL?" in said


def test_a_single_fault_stands_on_one_line() -> None:
    """The common case reads as a sentence, not as a list of one."""
    assert faults_of(SLUICE_LOG_FORMAT="xml") == (
        "settings: SLUICE_LOG_FORMAT has 'xml'; known are auto, console, json"
    )


def test_wrong_settings_are_a_precondition() -> None:
    """Commands end with status 3, so that scripts can tell them from a failure."""
    assert issubclass(SettingsError, PreconditionError)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@host:70000/0",
        "http://ada:hunter2@host/",
        "redis://ada:hunter2@host:6379/first",
        "redis://ada:hunter2@/0",
        "redis+sentinel://:hunter2@host:26379",
        "unix://ada:hunter2@relative/path",
        "redis://ada:hunter2@host/0?ssl=hunter2",
        "hunter2",
        "redis://[::1:hunter2",
    ],
)
def test_no_fault_ever_quotes_the_redis_password(url: str) -> None:
    """Start-up errors are copied into tickets and chats."""
    said = faults_of(SLUICE_REDIS_URL=url)
    assert "SLUICE_REDIS_URL" in said
    assert "hunter2" not in said


def test_neither_repr_nor_shown_address_holds_the_password() -> None:
    """A settings value ends up in logs and tracebacks sooner or later."""
    settings = parse({"SLUICE_REDIS_URL": "redis://ada:hunter2@[::1]:6380/3"})
    assert "hunter2" not in repr(settings)
    address = settings.redis.address
    assert address is not None
    assert len(address.password) == len("hunter2")
    assert address.shown == "redis://[::1]:6380/3"


def test_two_passwords_are_a_contradiction() -> None:
    """Whichever won, somebody would rotate the other one in vain."""
    environ = {
        "SLUICE_REDIS_URL": "redis://:hunter2@host",
        "SLUICE_REDIS_PASSWORD_FILE": "/run/secrets/redis",
    }
    said = faults_of(**environ)
    assert "keep one" in said


@pytest.mark.parametrize(
    ("url", "shown", "hosts"),
    [
        ("redis://cache", "redis://cache:6379/0", (("cache", 6379),)),
        ("rediss://cache:7000/2", "rediss://cache:7000/2", (("cache", 7000),)),
        ("unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock?db=1", ()),
        (
            "redis+sentinel://s1,s2:26380/main/4",
            "redis+sentinel://s1:26379,s2:26380/main/4",
            (("s1", 26379), ("s2", 26380)),
        ),
        ("rediss+sentinel://s1/main", "rediss+sentinel://s1:26379/main/0", (("s1", 26379),)),
    ],
)
def test_every_redis_form_is_known(
    url: str, shown: str, hosts: tuple[tuple[str, int], ...]
) -> None:
    """The interface page names them."""
    address = parse({"SLUICE_REDIS_URL": url}).redis.address
    assert address is not None
    assert (address.shown, address.hosts) == (shown, hosts)


@pytest.mark.parametrize(
    "name",
    [
        "SLUICE_SERVICE_HOST",
        "SLUICE_SERVICE_PORT",
        "SLUICE_WATCHER_SERVICE_HOST",
        "SLUICE_WATCHER_SERVICE_PORT_METRICS",
        "SLUICE_VALKEY_PORT_6379_TCP",
        "SLUICE_VALKEY_PORT_6379_TCP_ADDR",
        "SLUICE_VALKEY_PORT_6379_TCP_PROTO",
    ],
)
def test_service_links_of_kubernetes_are_no_settings(name: str) -> None:
    """A Service called sluice-anything must not stop every pod of its namespace."""
    assert parse({name: "10.0.0.1"}).warnings == ()


def test_a_port_is_a_service_link_only_if_it_looks_like_one() -> None:
    """SLUICE_REDIS_PORT=6379 is somebody's hope for a setting and must not be passed over."""
    assert parse({"SLUICE_REDIS_PORT": "tcp://10.0.0.1:6379"}).warnings == ()
    assert "SLUICE_REDIS_PORT is not a setting" in faults_of(SLUICE_REDIS_PORT="6379")


def test_a_known_setting_that_is_not_honoured_is_a_warning_that_says_so() -> None:
    """Silence would let somebody believe that a limit of theirs still holds."""
    settings = parse({"OPERATOR_CONCURRENT_SCAN_JOBS_LIMIT": "3"})
    (warning,) = settings.warnings
    assert warning.startswith("OPERATOR_CONCURRENT_SCAN_JOBS_LIMIT is trivy-operator's")
    assert "not honoured in this version" in warning
    assert "SLUICE_SCANNER_JOBS" in warning


@pytest.mark.parametrize("text", ["10", "", " "])
def test_a_known_setting_at_its_default_says_nothing(text: str) -> None:
    """trivy-operator's chart renders all of them; only real wishes deserve a warning."""
    assert parse({"OPERATOR_CONCURRENT_SCAN_JOBS_LIMIT": text}).warnings == ()


def test_a_known_setting_that_does_not_parse_is_an_error_all_the_same() -> None:
    """A typing error is one whether or not this version acts on the value."""
    assert "OPERATOR_SCAN_JOB_RETRY_AFTER is '30'" in faults_of(OPERATOR_SCAN_JOB_RETRY_AFTER="30")


def test_a_misspelt_operator_setting_is_a_warning() -> None:
    """OPERATOR_ is not our prefix alone, so it cannot be an error; silence would be worse."""
    settings = parse({"OPERATOR_TARGET_NAMESPACE": "shop", "OPERATOR_FRAMEWORK": "x"})
    assert settings.warnings == (
        "OPERATOR_TARGET_NAMESPACE is not a setting; did you mean OPERATOR_TARGET_NAMESPACES?",
    )


def test_an_empty_report_lifetime_switches_the_annotation_off() -> None:
    """trivy-operator reads an empty duration as disabled; elsewhere empty means not set."""
    assert parse({"OPERATOR_SCANNER_REPORT_TTL": ""}).reports.ttl == ""
    assert parse({"OPERATOR_SCAN_JOB_TIMEOUT": ""}).trivy.scan_timeout_s == 300


def test_lists_and_kinds_are_read_as_trivy_operator_reads_them() -> None:
    """Case of kinds does not matter there, and its lists may hold blanks."""
    settings = parse(
        {
            "OPERATOR_TARGET_WORKLOADS": "Job, pod,replicaSet",
            "OPERATOR_TARGET_NAMESPACES": " shop , ,cart,shop",
            "SLUICE_RESOURCE_LABELS": "app.kubernetes.io/name,team",
            "SLUICE_ADDITIONAL_LABELS": "team=red,cost=4",
        }
    )
    assert settings.scope.target_workloads == ("Pod", "ReplicaSet", "Job")
    assert settings.scope.target_namespaces == ("shop", "cart")
    assert settings.reports.resource_labels == ("app.kubernetes.io/name", "team")
    assert settings.reports.additional_labels == (("cost", "4"), ("team", "red"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("SLUICE_ADDITIONAL_LABELS", "team", "write label=value"),
        ("SLUICE_ADDITIONAL_LABELS", f"team={'x' * 64}", "write label=value"),
        ("SLUICE_ADDITIONAL_LABELS", "/team=red", "write label=value"),
        ("SLUICE_RESOURCE_LABELS", "-team", "no label key"),
        ("SLUICE_ADDITIONAL_VULNERABILITY_REPORT_FIELDS", "links", "known are Description"),
        ("SLUICE_CLUSTER", "Prod", "a-z, 0-9 and -"),
        ("OPERATOR_TARGET_NAMESPACES", "shop,team-*", "'team-*', which no namespace can be called"),
        ("OPERATOR_TARGET_NAMESPACES", "Shop", "which no namespace can be called"),
        ("OPERATOR_TARGET_NAMESPACES", "shop/cart", "which no namespace can be called"),
        ("SLUICE_TRIVY_SERVER_URL", "trivy:4954", "http(s)://host:port"),
        ("SLUICE_TRIVY_SERVER_URL", "http://u:p@trivy:4954", "http(s)://host:port"),
        ("SLUICE_STATUS_ADDRESS", "8081", "write host:port"),
        ("SLUICE_STATUS_ADDRESS", ":65536", "write host:port"),
        ("SLUICE_STATUS_ADDRESS", "::1:80", "stands in brackets"),
        ("SLUICE_SCANNER_JOBS", "0", "from 1 to 256"),
        ("SLUICE_SCANNER_JOBS", "1.5", "from 1 to 256"),
        ("SLUICE_WORKER_POOLS", "scan,reconcil", "known are reconcile, scan, rematch, audit"),
        ("OPERATOR_TARGET_WORKLOADS", "deployment", "known are Pod"),
        ("OPERATOR_SBOM_GENERATION_ENABLED", "yes", "true or false"),
        ("OPERATOR_SCANNER_REPORT_TTL", "-1h", "negative"),
    ],
)
def test_a_value_that_does_not_parse_names_its_remedy(name: str, text: str, said: str) -> None:
    """A message that only says `invalid` sends its reader to the source code."""
    message = faults_of(**{name: text})
    assert name in message
    assert said in message


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SLUICE_DATA_DIR": "/data/"}, "/data"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/ada"}, "/state/sluice"),
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/sluice"),
        ({}, "/var/lib/sluice"),
    ],
)
def test_the_data_folder_follows_xdg_unless_it_is_set(
    environ: dict[str, str], expected: str
) -> None:
    """`sluice status` must find what `sluice run` left behind."""
    settings = parse(environ)
    assert settings.ops.data_dir == expected
    assert settings.trivy.scanner_socket == f"{expected}/scanner.sock"


def test_settings_cannot_be_changed_after_the_start() -> None:
    """Two threads that see different settings write different reports."""
    settings = parse(HOME)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.scanners.sbom = False  # type: ignore[misc] # that is the point


@pytest.mark.parametrize("environ", [{"TRIVY_SBOM_SOURCES": "oci"}, {"TRIVY_TOKEN": "hunter2"}])
def test_what_is_refused_says_why(environ: dict[str, str]) -> None:
    """Somebody decided, and the reason tells what to do instead; never the value."""
    (warning,) = parse(environ).warnings
    assert next(iter(environ)) in warning
    assert "no such feature" not in warning
    assert "hunter2" not in warning
