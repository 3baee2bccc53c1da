"""trivy-operator's ConfigMaps as settings: every key, who comes first, what is wrong in them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.model.errors import SettingsError
from common.model.overlay import (
    EMPTY,
    Entry,
    Overlay,
    decode_overlay,
    encode_overlay,
)
from common.settings.operator_keys import (
    ENVIRONMENT_MAP,
    FAMILIES,
    MAPS,
    OF_ENVIRONMENT,
    OPERATOR_MAP,
    SETTABLE,
    SIMPLE,
    TRIVY_MAP,
    UNUSED,
    UNUSED_OF_ENVIRONMENT,
)
from common.settings.overlay import adopt, choose, overlaid
from common.settings.parse import parse
from common.settings.table import BY_NAME

NAMESPACE = "trivy-system"


def chosen(
    found: dict[str, dict[str, str]],
    environ: dict[str, str] | None = None,
    last: Overlay | None = None,
) -> Overlay:
    """Return the overlay of ConfigMaps."""
    return choose(environ or {}, found, namespace=NAMESPACE, last=lambda: last).overlay


def texts(overlay: Overlay) -> dict[str, str]:
    """Return its settings."""
    return {entry.name: entry.text for entry in overlay.entries}


# What each honoured key says, in its own words, and what the settings are then.
HONOURED: list[tuple[str, dict[str, str], Any, Any]] = [
    (OPERATOR_MAP, {"scanJob.excludeImages": "a/b*,c"}, lambda s: s.scope.exclude_images,
     ("a/b*", "c")),
    (OPERATOR_MAP, {"scanJob.skipInitContainers": "true"}, lambda s: s.scope.skip_init_containers,
     True),
    (OPERATOR_MAP, {"skipResourceByLabels": "no-scan,x/y"}, lambda s: s.scope.skip_labels,
     ("no-scan", "x/y")),
    (OPERATOR_MAP, {"report.resourceLabels": "team"}, lambda s: s.reports.resource_labels,
     ("team",)),
    (OPERATOR_MAP, {"report.additionalLabels": "a=b,c=d"}, lambda s: s.reports.additional_labels,
     (("a", "b"), ("c", "d"))),
    (OPERATOR_MAP, {"metrics.resourceLabelsPrefix": "x_"}, lambda s: s.ops.resource_labels_prefix,
     "x_"),
    (TRIVY_MAP, {"trivy.severity": "HIGH,CRITICAL"}, lambda s: s.reports.severities,
     ("HIGH", "CRITICAL")),
    (TRIVY_MAP, {"trivy.ignoreUnfixed": "true"}, lambda s: s.reports.ignore_unfixed, True),
    (TRIVY_MAP, {"trivy.dbRepository": "r.example/db"}, lambda s: s.trivy.db_repository,
     "r.example/db"),
    (TRIVY_MAP, {"trivy.javaDbRepository": "r.example/j"}, lambda s: s.trivy.java_db_repository,
     "r.example/j"),
    (TRIVY_MAP, {"trivy.dbRepositoryInsecure": "true"},
     lambda s: s.registries.insecure_databases, True),
    (TRIVY_MAP, {"trivy.additionalVulnerabilityReportFields": "Links,CVSS"},
     lambda s: s.reports.additional_fields, ("Links", "CVSS")),
    (TRIVY_MAP, {"trivy.vulnType": "os"}, lambda s: s.filters.package_types, ("os",)),
    (TRIVY_MAP, {"trivy.skipFiles": "a,b"}, lambda s: s.reports.skip_files, ("a", "b")),
    (TRIVY_MAP, {"trivy.skipDirs": "/usr"}, lambda s: s.reports.skip_dirs, ("/usr",)),
    (TRIVY_MAP, {"trivy.ignoreFile": "# why\nCVE-2024-1\n"},
     lambda s: [rule.id for rule in s.filters.ignore_rules.vulnerabilities], ["CVE-2024-1"]),
    (TRIVY_MAP, {"trivy.registry.mirror.quay.io": "m.example/quay",
                 "trivy.registry.mirror.index.docker.io": "m.example/hub"},
     lambda s: s.registries.registry_mirrors,
     (("index.docker.io", "m.example/hub"), ("quay.io", "m.example/quay"))),
    (TRIVY_MAP, {"trivy.insecureRegistry.0": "one:5000", "trivy.insecureRegistry.b": "two"},
     lambda s: s.registries.insecure_registries, ("one:5000", "two")),
    (TRIVY_MAP, {"trivy.nonSslRegistry.pets": "pets.example"},
     lambda s: s.registries.plain_registries, ("pets.example",)),
    (TRIVY_MAP, {"trivy.ignorePolicy": "all", "trivy.ignorePolicy.shop": "shop",
                 "trivy.ignorePolicy.shop.web.": "web"},
     lambda s: s.filters.ignore_policies, (("", "all"), ("shop", "shop"), ("shop.web.", "web"))),
    (ENVIRONMENT_MAP, {"OPERATOR_SBOM_GENERATION_ENABLED": "false"}, lambda s: s.scanners.sbom,
     False),
    (ENVIRONMENT_MAP, {"OPERATOR_SCANNER_REPORT_TTL": ""}, lambda s: s.verify.report_ttl_s, None),
    (ENVIRONMENT_MAP, {"OPERATOR_EXCLUDE_NAMESPACES": "kube-*"},
     lambda s: s.scope.exclude_namespaces, ("kube-*",)),
    (ENVIRONMENT_MAP, {"OPERATOR_PRIVATE_REGISTRY_SCAN_SECRETS_NAMES": '{"shop": "pull"}'},
     lambda s: s.credentials.registry_secrets, (("shop", ("pull",)),)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "read", "value"), HONOURED, ids=[next(iter(one[1])) for one in HONOURED]
)
def test_a_key_says_what_it_says_to_trivy_operator(
    name: str, data: dict[str, str], read: Any, value: object
) -> None:
    """In its own format; and whoever asks is told from which key the value is."""
    found = choose({}, {name: data}, namespace=NAMESPACE)
    assert found.overlay.faults == ()
    assert read(found.settings) == value
    (entry,) = found.overlay.entries
    assert entry.source.startswith(f"ConfigMap {NAMESPACE}/{name}, key")
    assert all(key in entry.source for key in data)
    assert read(adopt({}, found.overlay)) == value  # what a worker makes of it


def test_every_honoured_key_has_its_example() -> None:
    """None can be added to the table and never be tried."""
    tried = {key for _, data, _, _ in HONOURED for key in data}
    for rows in SIMPLE.values():
        assert set(rows) <= tried
    for family in FAMILIES:
        assert any(family.has(key) for key in tried), family.prefix


def test_what_a_config_map_can_set_is_honoured_and_no_secret() -> None:
    """It stands in Redis, in logs and in the doctor's list."""
    for name in SETTABLE:
        row = BY_NAME[name]
        assert row.honoured, name
        assert not row.secret, name
        assert row.format.shown != "path", name  # whose files would they be?
    assert not {"OPERATOR_NAMESPACE", "SLUICE_REDIS_URL", "SLUICE_TRIVY_PATH"} & SETTABLE


@pytest.mark.parametrize(
    ("environ", "data"),
    [
        ({"TRIVY_SEVERITY": "LOW"}, {"trivy.severity": "HIGH"}),
        ({"TRIVY_PKG_TYPES": "library"}, {"trivy.vulnType": "os"}),
        ({"SLUICE_IGNORE_RULES": "CVE-2"}, {"trivy.ignoreFile": "CVE-1"}),
        ({"SLUICE_REGISTRY_MIRRORS": "a=b"}, {"trivy.registry.mirror.c": "d"}),
        # An empty value that says something, as in the environment.
        ({"OPERATOR_SCANNER_REPORT_TTL": ""}, {}),
    ],
)
def test_the_environment_comes_first(environ: dict[str, str], data: dict[str, str]) -> None:
    """As it does for trivy-operator, whose Deployment's own variables stand over `envFrom`."""
    found = {TRIVY_MAP: data, ENVIRONMENT_MAP: {"OPERATOR_SCANNER_REPORT_TTL": "48h"}}
    both = choose(environ, found, namespace=NAMESPACE)
    alone = parse(environ)
    name = next(iter(environ))
    if name != "OPERATOR_SCANNER_REPORT_TTL":
        assert both.settings.projection == alone.projection
        assert any(f"{name} is set, and comes first" in one for one in both.overlay.notices)
    else:
        assert both.settings.verify.report_ttl_s is None


def test_an_empty_variable_lets_the_config_map_speak() -> None:
    """An empty value counts as not set."""
    found = {TRIVY_MAP: {"trivy.severity": "HIGH"}}
    assert choose(
        {"TRIVY_SEVERITY": " "}, found, namespace=NAMESPACE
    ).settings.reports.severities == ("HIGH",)


def test_empty_keys_say_nothing() -> None:
    """trivy-operator's chart renders many of them."""
    data = {"trivy.severity": "", "trivy.registry.mirror.a": "", "trivy.ignorePolicy": " "}
    assert chosen({TRIVY_MAP: data, OPERATOR_MAP: {"scanJob.excludeImages": ""}}) == EMPTY


WRONG: list[tuple[str, str, str, str]] = [
    (TRIVY_MAP, "trivy.severity", "HIHG", "known are UNKNOWN"),
    (TRIVY_MAP, "trivy.ignoreUnfixed", "yes", "write true or false"),
    (TRIVY_MAP, "trivy.vulnType", "oss", "known are os, library"),
    (TRIVY_MAP, "trivy.ignoreFile", "CVE-1 exp:soon", "line 1"),
    (TRIVY_MAP, "trivy.registry.mirror.docker.io", "https://x", "without scheme"),
    (TRIVY_MAP, "trivy.insecureRegistry.1", "https://x", "without a scheme"),
    (OPERATOR_MAP, "report.additionalLabels", "a", "write label=value"),
    (OPERATOR_MAP, "scanJob.skipInitContainers", "maybe", "write true or false"),
    (ENVIRONMENT_MAP, "OPERATOR_SCANNER_REPORT_TTL", "1d", "Go duration"),
]


@pytest.mark.parametrize(("name", "key", "text", "words"), WRONG, ids=[one[1] for one in WRONG])
def test_what_is_wrong_names_config_map_key_and_remedy(
    name: str, key: str, text: str, words: str
) -> None:
    """And ends nothing: the other keys hold, and this one counts as not set."""
    found = {name: {key: text}}
    other, good = (
        (OPERATOR_MAP, {"skipResourceByLabels": "no-scan"})
        if name != OPERATOR_MAP
        else (TRIVY_MAP, {"trivy.severity": "LOW"})
    )
    overlay = chosen({**found, other: good})
    (fault,) = overlay.faults
    assert f"ConfigMap {NAMESPACE}/{name}, key {key}" in str(fault)
    assert words in fault.said
    assert f"kubectl -n {NAMESPACE} edit configmap {name}" in fault.remedy
    assert "comes first" in fault.remedy
    assert len(overlay.entries) == 1
    assert not overlay.kept
    assert "count as not set" in overlay.holds_meanwhile


def test_while_something_is_wrong_everything_of_before_holds() -> None:
    """Whoever changed two keys, and one of them wrongly, meant both."""
    before = chosen({TRIVY_MAP: {"trivy.severity": "HIGH", "trivy.vulnType": "os"}})
    found = choose(
        {},
        {TRIVY_MAP: {"trivy.severity": "HIHG", "trivy.vulnType": "library"}},
        namespace=NAMESPACE,
        last=lambda: before,
    )
    assert found.settings.projection == adopt({}, before).projection
    assert found.overlay.kept
    assert (found.overlay.entries, found.overlay.digest) == (before.entries, before.digest)
    assert len(found.overlay.faults) == 1


def test_what_was_before_must_still_be_readable() -> None:
    """It may be of another version of ours, or of somebody's hand in Redis."""
    last = Overlay(entries=(Entry("TRIVY_SEVERITY", "NONE", "?"),))
    overlay = chosen({TRIVY_MAP: {"trivy.severity": "HIHG", "trivy.skipDirs": "/a"}}, last=last)
    assert not overlay.kept
    assert texts(overlay) == {"TRIVY_SKIP_DIRS": "/a"}


def test_a_key_that_the_environment_stands_over_cannot_be_wrong() -> None:
    """Nobody reads it."""
    overlay = chosen({TRIVY_MAP: {"trivy.severity": "HIHG"}}, {"TRIVY_SEVERITY": "LOW"})
    assert overlay.faults == ()


def test_faults_of_the_environment_stay_faults() -> None:
    """They end the start, as they do without any ConfigMap."""
    with pytest.raises(SettingsError, match="TRIVY_SEVERITY"):
        choose(
            {"TRIVY_SEVERITY": "HIHG"}, {TRIVY_MAP: {"trivy.skipDirs": "/a"}}, namespace=NAMESPACE
        )


def test_nobody_who_writes_into_redis_sets_what_no_config_map_can() -> None:
    """Which program is run, and where passwords are read, is the environment's alone."""
    bad = [Entry("SLUICE_TRIVY_PATH", "/tmp/x", "?"), Entry("PATH", "/tmp", "?")]  # noqa: S108
    assert overlaid({}, bad) == {}
    assert adopt({}, Overlay(entries=tuple(bad))).trivy.path == ""


# The defaults of trivy-operator's own ConfigMaps and of its chart's, as far as they tell anything.
DEFAULTS: dict[str, dict[str, str]] = {
    ENVIRONMENT_MAP: {
        "OPERATOR_LOG_DEV_MODE": "false",
        "OPERATOR_SCAN_JOB_TTL": "",
        "OPERATOR_SCAN_JOB_TIMEOUT": "5m",
        "OPERATOR_CONCURRENT_SCAN_JOBS_LIMIT": "10",
        "OPERATOR_METRICS_BIND_ADDRESS": ":8080",
        "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": ":9090",
        "OPERATOR_BUILT_IN_TRIVY_SERVER": "false",
        "OPERATOR_WEBHOOK_BROADCAST_TIMEOUT": "30s",
        "CONTROLLER_CACHE_SYNC_TIMEOUT": "5m",
        "TRIVY_SERVER_HEALTH_CHECK_CACHE_EXPIRATION": "10h",
    },
    OPERATOR_MAP: {
        "vulnerabilityReports.scanner": "Trivy",
        "configAuditReports.scanner": "Trivy",
        "vulnerabilityReports.scanJobsInSameNamespace": "false",
        "scanJob.compressLogs": "true",
        "scanJob.podTemplateContainerSecurityContext": '{"privileged":false}',
        "report.recordFailedChecksOnly": "true",
        "metrics.resourceLabelsPrefix": "k8s_label_",
        "compliance.failEntriesLimit": "10",
        "node.collector.imageRef": "ghcr.io/aquasecurity/node-collector:0.3.1",
        "nodeCollector.volumes": "[]",
        "policies.bundle.oci.ref": "mirror.gcr.io/aquasec/trivy-checks:1",
        "policies.bundle.insecure": "false",
    },
    TRIVY_MAP: {
        "trivy.repository": "mirror.gcr.io/aquasec/trivy",
        "trivy.tag": "0.72.0",
        "trivy.mode": "Standalone",
        "trivy.command": "image",
        "trivy.severity": "UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL",
        "trivy.slow": "true",
        "trivy.timeout": "5m0s",
        "trivy.skipJavaDBUpdate": "false",
        "trivy.dbRepositoryInsecure": "false",
        "trivy.includeDevDeps": "false",
        "trivy.additionalVulnerabilityReportFields": "",
        "trivy.resources.requests.cpu": "100m",
        "trivy.useBuiltinRegoPolicies": "false",
        "trivy.useEmbeddedRegoPolicies": "true",
        "trivy.supportedConfigAuditKinds": "Workload,Service",
    },
}


def test_trivy_operators_defaults_are_worth_no_word() -> None:
    """Nor do they change anything: its chart's ConfigMaps lie in every cluster that ran it."""
    found = choose({}, DEFAULTS, namespace=NAMESPACE)
    assert (found.overlay.notices, found.overlay.faults) == ((), ())
    assert found.settings.projection_digest() == parse({}).projection_digest()


@pytest.mark.parametrize(
    ("name", "key", "text", "words"),
    [
        (TRIVY_MAP, "trivy.command", "rootfs", "never from a node's file system"),
        (TRIVY_MAP, "trivy.serverURL", "http://x:4954", "SLUICE_TRIVY_SERVER_URL"),
        (TRIVY_MAP, "trivy.severty", "HIGH", "did you mean trivy.severity?"),
        (OPERATOR_MAP, "scanJob.tolerations", '[{"operator":"Exists"}]', "chart's values"),
        (ENVIRONMENT_MAP, "OPERATOR_METRICS_VULN_ID_ENABLED", "true", "summary metrics"),
        (ENVIRONMENT_MAP, "OPERATOR_HEALTH_PROBE_BIND_ADDRESS", ":1", "in the environment"),
        (ENVIRONMENT_MAP, "OPERATOR_SBOM_GENERATION", "true", "did you mean OPERATOR_SBOM_GEN"),
        (ENVIRONMENT_MAP, "OPERATOR_BATCH_DELETE_LIMIT", "many", "replaced, not deleted"),
    ],
)
def test_what_has_no_effect_is_told_with_its_reason(
    name: str, key: str, text: str, words: str
) -> None:
    """Known but not honoured: a notice, never silence, and never a fault."""
    overlay = chosen({name: {key: text}})
    (notice,) = overlay.notices
    assert f"{NAMESPACE}/{name}, key {key}" in notice
    assert words in notice
    assert (overlay.entries, overlay.faults) == ((), ())


def test_a_text_without_effect_is_never_repeated() -> None:
    """A proxy's URL, headers of a webhook: there may be a password in it."""
    found = {
        TRIVY_MAP: {"trivy.httpsProxy": "http://u:hunter2@proxy", "trivy.serverToken": "hunter2"},
        ENVIRONMENT_MAP: {"OPERATOR_WEBHOOK_BROADCAST_CUSTOM_HEADERS": "Authorization=hunter2"},
    }
    assert b"hunter2" not in encode_overlay(chosen(found))


def test_each_key_has_one_place() -> None:
    """A key that is honoured and not, or a name that two maps set, would depend on the order."""
    for name, rows in UNUSED.items():
        for row in rows:
            assert row.key not in SIMPLE[name]
            assert not any(family.has(row.key) for family in FAMILIES)
    names = [row.name for rows in SIMPLE.values() for row in rows.values()]
    names += [family.setting.name for family in FAMILIES]
    assert len({*names, *OF_ENVIRONMENT}) == len(names) + len(OF_ENVIRONMENT)
    assert not set(OF_ENVIRONMENT) & set(UNUSED_OF_ENVIRONMENT)


data = st.dictionaries(
    st.one_of(
        st.sampled_from(
            [
                *(key for rows in SIMPLE.values() for key in rows),
                *OF_ENVIRONMENT,
                *(f"{family.prefix}x" for family in FAMILIES),
                "trivy.ignorePolicy",
            ]
        ),
        st.text(max_size=20),
    ),
    st.one_of(st.sampled_from(["true", "os", "HIGH", "a=b", "5m", "x", "{}"]), st.text()),
    max_size=6,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(MAPS, data)))
def test_no_config_map_ends_a_process(found: dict[str, dict[str, str]]) -> None:
    """Whatever stands in them: workers make the same settings of what is published."""
    first = choose({}, found, namespace=NAMESPACE)
    published = decode_overlay(encode_overlay(first.overlay))
    assert published == first.overlay
    assert adopt({}, published).projection == first.settings.projection


def test_garbage_is_no_overlay() -> None:
    """Redis may hold anything."""
    with pytest.raises(msgspec.MsgspecError):
        decode_overlay(json.dumps({"entries": [1]}).encode())


def test_the_digest_is_of_what_is_said_alone() -> None:
    """Where it stands, and what is wrong beside it, makes nobody begin anew."""
    one = Overlay(entries=(Entry("A", "1", "x"), Entry("B", "2", "x")))
    other = Overlay(entries=(Entry("B", "2", "y"), Entry("A", "1", "y")), notices=("n",))
    assert one.digest == other.digest != EMPTY.digest
    assert one.digest_of(["A"]) == other.digest_of(["A"]) != one.digest_of(["B"])
