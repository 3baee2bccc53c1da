"""`sluice doctor`: what each check says, on good ground and on bad."""

from __future__ import annotations

import pytest

from common.cli.checks.access import RULES, check_access, check_configmaps
from common.cli.checks.account import component_of, concerning, judge_account
from common.cli.checks.cluster import judge_definitions, judge_lists, judge_peers
from common.cli.checks.evidence import judge_database, judge_trivy, registry_of
from common.cli.checks.generation import judge_generation
from common.cli.checks.parked import judge_parked
from common.kube.cluster import Operator
from common.kube.lease import LeasePlace
from common.model.finding import Fault, Finding, Good, Notice, as_json, line
from common.ops.trivy_program import Trivy
from common.overview.generation import described
from common.reports.catalog import CATALOG
from common.settings.operator_keys import MAPS
from common.state.database import DatabaseRow

LEASE = LeasePlace(namespace="ours", name="kube-sluice-x")


def faults(findings: list[Finding]) -> list[Fault]:
    """Return the faults among findings."""
    return [finding for finding in findings if isinstance(finding, Fault)]


# --- access


@pytest.mark.parametrize(
    ("user", "component"),
    [
        ("system:serviceaccount:ours:sluice-kube-sluice-worker", "worker"),
        ("system:serviceaccount:ours:kube-sluice-matcher", "matcher"),
        ("system:serviceaccount:ci:deploy-worker", ""),
        ("system:serviceaccount:ours:default", ""),
        ("system:serviceaccount:ours:watcher", ""),
        ("system:node:a-worker", ""),
        ("alice", ""),
        ("", ""),
    ],
)
def test_a_components_own_account_is_known_by_its_name(user: str, component: str) -> None:
    """A user who looks is told of all; a Pod of what concerns it."""
    assert component_of(user, home="ours") == component


def test_in_a_pod_the_rights_of_others_are_no_fault() -> None:
    """The migration's guide sends its reader into a worker's Pod."""
    found = list(check_access(lambda *_, **_names: False, targets=(), lease=LEASE))
    assert {one.topic for one in concerning(found, "worker")} == {"access of the worker"}
    assert list(concerning(found, "matcher")) == []
    assert list(concerning(found, "")) == found


def test_a_pod_says_what_it_did_not_look_at() -> None:
    """Else a short list of good lines would pass for a whole one."""
    assert list(judge_account("alice", "")) == []
    (good,) = judge_account("…-watcher", "watcher")
    assert "watcher" in good.said
    assert [type(one) for one in judge_account("…-worker", "worker")] == [Good, Notice]


def test_lists_of_all_namespaces_are_told_as_such() -> None:
    """The watcher may list every report and read no definition."""
    assert "in all namespaces" in judge_lists([], namespace="").said


def test_full_access_gives_one_good_line_a_rule() -> None:
    """Rule by rule, so that a missing one can be told from the rest."""
    found = list(check_access(lambda *_, **_names: True, targets=(), lease=LEASE))
    assert len(found) == len(RULES) - 1  # ConfigMaps are asked for apart
    assert all(isinstance(finding, Good) for finding in found)


def test_a_missing_verb_is_named_with_its_resource() -> None:
    """`forbidden` alone sends people through five roles."""
    found = list(
        check_access(
            lambda verb, _group, resource, _ns, **_names: (verb, resource) != ("watch", "pods"),
            targets=(),
            lease=LEASE,
        )
    )
    (fault,) = faults(found)
    assert fault.topic == "access of the watcher"
    assert fault.said == "this account may not watch pods"
    assert "core" in fault.remedy


def test_pull_secrets_and_events_are_no_preconditions() -> None:
    """Some clusters keep Secrets from every scanner on purpose: public images work all the same."""
    found = list(
        check_access(
            lambda _verb, _group, resource, _ns, **_names: resource not in {"secrets", "events"},
            targets=(),
            lease=LEASE,
        )
    )
    assert faults(found) == []
    assert sum(isinstance(finding, Notice) for finding in found) == 2


def test_access_is_asked_where_it_is_used() -> None:
    """An account for two namespaces has no rights in all of them, and needs none."""
    asked: set[tuple[str, str]] = set()

    def can_i(verb: str, group: str, resource: str, namespace: str, *, name: str = "") -> bool:
        asked.add((f"{resource}/{name}" if name else resource, namespace))
        return True

    list(check_access(can_i, targets=("shop", "cart"), lease=LEASE))
    assert {namespace for resource, namespace in asked if resource == "pods"} == {"shop", "cart"}
    assert {namespace for resource, namespace in asked if resource == "nodes"} == {""}
    assert {one for one in asked if "leases" in one[0]} == {("leases/kube-sluice-x", "ours")}


def test_the_lease_is_named_where_its_right_is_missing() -> None:
    """It is the one right in a namespace of our own, and the one to a single object."""
    found = list(
        check_access(
            lambda verb, _group, _resource, _ns, *, name="": not (name and verb == "patch"),
            targets=(),
            lease=LEASE,
        )
    )
    (fault,) = faults(found)
    assert fault.said == "this account may not patch leases kube-sluice-x in ours"
    assert "coordination.k8s.io" in fault.remedy


def test_without_an_election_nobody_asks_for_a_lease() -> None:
    """A single watcher on one machine needs no right to write anything."""
    found = list(
        check_access(
            lambda _verb, _group, resource, _ns, **_names: resource != "leases",
            targets=(),
            lease=None,
        )
    )
    assert len(found) == len(RULES) - 2  # nor for ConfigMaps, here
    assert faults(found) == []


def test_config_maps_are_asked_for_by_name_where_the_product_is() -> None:
    """A right to three objects is no right to the resource, and lacking it is no fault."""
    asked: list[tuple[str, str, str]] = []

    def can_i(verb: str, _group: str, resource: str, namespace: str, *, name: str = "") -> bool:
        assert (verb, resource) == ("get", "configmaps")
        asked.append((namespace, name, verb))
        return name != "trivy-operator"

    (found,) = check_configmaps(can_i, "home")
    assert {(each[0], each[1]) for each in asked} == {("home", name) for name in MAPS}
    assert isinstance(found, Notice)
    assert "get configmaps trivy-operator in home" in found.said


def test_no_rule_asks_to_list_secrets() -> None:
    """Law 9: pull secrets are read by name; nobody ever lists them."""
    for rule in RULES:
        if "secrets" in rule.resources:
            assert rule.verbs == ("get",)


# --- cluster


def definitions(manager: str, *, without: str = "") -> dict[str, dict[str, str]]:
    """Return all definitions, labelled with their manager, but one."""
    return {
        row.crd_name: {"app.kubernetes.io/managed-by": manager}
        for row in CATALOG
        if row.kind != without
    }


def test_definitions_are_told_with_their_origin() -> None:
    """After a takeover somebody wants to know whose they are before deleting a chart."""
    (ours,) = judge_definitions(definitions("kube-sluice"))
    assert ours == Good(topic="definitions", said="12 of 12 installed by kube-sluice")
    (theirs,) = judge_definitions(definitions("Helm"))
    assert "Helm" in theirs.said


def test_a_missing_definition_that_we_write_is_a_fault() -> None:
    """Every write would fail with 404."""
    found = list(judge_definitions(definitions("kube-sluice", without="SbomReport")))
    (fault,) = faults(found)
    assert "sbomreports.aquasecurity.github.io" in fault.said
    assert "sluice crds --install" in fault.remedy


def test_a_missing_definition_that_we_do_not_write_is_none() -> None:
    """A cluster with trivy-operator's older set works."""
    found = list(judge_definitions(definitions("x", without="ClusterComplianceReport")))
    assert faults(found) == []


def test_a_running_trivy_operator_is_a_fault_with_the_command_that_stops_it() -> None:
    """Trap 36. It runs beside us: both delete and rewrite for ever."""
    (found,) = judge_peers(
        [Operator(namespace="trivy-system", name="trivy-operator", ready=1)], targets=()
    )
    assert isinstance(found, Fault)
    assert "kubectl -n trivy-system scale deployment trivy-operator --replicas=0" in found.remedy


def test_a_trivy_operator_scaled_to_zero_is_a_notice() -> None:
    """That is how people move over, and back."""
    (found,) = judge_peers(
        [Operator(namespace="trivy-system", name="trivy-operator", ready=0)], targets=()
    )
    assert isinstance(found, Notice)
    assert isinstance(next(judge_peers([], targets=())), Good)
    (elsewhere,) = judge_peers([], targets=("a", "b"))
    assert isinstance(elsewhere, Notice)
    assert "looked for in a, b alone" in elsewhere.said


# --- evidence

NOW_S = 1_795_590_000.0  # 2026-11-25T07:00:00Z


def database(version: str) -> Finding:
    """Return the finding about a database of this version."""
    row = DatabaseRow(version=version, server_url="http://127.0.0.1:4954")
    return judge_database(row, now_s=NOW_S)


def test_a_fresh_database_is_good_and_an_old_one_a_fault() -> None:
    """Reports that nobody refreshed for days look exactly like true ones."""
    assert isinstance(database("2026-11-25T06:00:00Z"), Good)
    old = database("2026-11-20T06:00:00Z")
    assert isinstance(old, Fault)
    assert "5d1h old" in old.said


def test_no_database_at_all_names_the_process_that_is_missing() -> None:
    """Nothing is matched without the match pool."""
    found = judge_database(None, now_s=NOW_S)
    assert isinstance(found, Fault)
    assert "--pool match" in found.remedy


@pytest.mark.parametrize(
    ("version", "kind"),
    [("0.76.0", Good), ("v1.2.0", Good), ("0.69.3", Fault), ("0.9", Fault), ("dev", Fault)],
)
def test_a_trivy_that_is_too_old_is_a_fault(version: str, kind: type) -> None:
    """Its reports and its server speak another language."""
    assert isinstance(judge_trivy(Trivy(path="/bin/trivy", version=version)), kind)


@pytest.mark.parametrize(
    ("repository", "host"),
    [
        ("", "mirror.gcr.io"),
        ("ghcr.io/aquasecurity/trivy-db:2", "ghcr.io"),
        ("127.0.0.1:5000/aqua/trivy-db:2,ghcr.io/x/y", "127.0.0.1:5000"),
        ("localhost/db", "localhost"),
        ("aquasec/trivy-db:2", "index.docker.io"),
    ],
)
def test_the_registry_is_read_from_the_repository(repository: str, host: str) -> None:
    """Asking the wrong host for health proves nothing."""
    assert registry_of(repository) == host


# --- findings


def test_a_fault_is_shown_with_its_remedy_on_a_line_of_its_own() -> None:
    """The remedy is what people came for."""
    fault = Fault(topic="Trivy", said="none", remedy="install it")
    assert line(fault) == "FAULT  Trivy: none\n       remedy: install it"
    assert as_json(fault) == {
        "state": "fault", "topic": "Trivy", "said": "none", "remedy": "install it",
    }  # fmt: skip
    assert as_json(Notice(topic="a", said="b")) == {"state": "notice", "topic": "a", "said": "b"}
    assert line(Notice(topic="a", said="b")) == "note   a: b"


# --- generation


def generation(*loops: tuple[str, str, str], number: int = 4) -> Finding:
    """Return what is said about these loops beside the published generation `new`."""
    found = described((number, "new", "0.2.0"), loops)
    return judge_generation(found, workers=len(loops))


def test_workers_of_the_published_generation_are_well() -> None:
    """The number and the version tell what reports are made of."""
    found = generation(("w1", "new", "0.2.0"))
    assert found == Good(topic="generation", said="4 (version 0.2.0)")


def test_some_that_stand_back_are_told_and_all_are_a_fault() -> None:
    """During an upgrade some do; when all do, nothing is scanned any more."""
    some = generation(("w1", "new", "0.2.0"), ("w2", "old", "0.1.0"))
    assert isinstance(some, Notice)
    assert "1 of 2 workers stands back" in some.said
    assert "w2 is of version 0.1.0" in some.said
    every = generation(("w1", "other", "0.2.0"), ("w2", "old", "0.1.0"))
    assert isinstance(every, Fault)
    assert "w1 has other settings" in every.said
    assert "same settings" in every.remedy


@pytest.mark.parametrize(
    ("loop", "number"), [(("w1", "old", "0.1.0"), 0), (("w1", "", ""), 4)], ids=["none", "silent"]
)
def test_nobody_is_judged_without_anything_to_compare(
    loop: tuple[str, str, str], number: int
) -> None:
    """Before the first watcher every generation may work; a loop that has just begun is silent."""
    assert isinstance(generation(loop, number=number), Good)


def test_parked_keys_are_told_with_their_commonest_reasons() -> None:
    """Thirty-eight workloads kept old reports for a broken policy, and all was said to be well."""
    assert list(judge_parked({})) == [Good(topic="queue", said="no key is parked")]
    (one,) = judge_parked({"IgnorePolicyBroken": 1})
    assert one.said.startswith("1 key is parked (IgnorePolicyBroken 1): ")
    (many,) = judge_parked({"A": 1, "B": 2, "C": 3, "D": 4, "E": 5})
    assert isinstance(many, Notice)
    assert many.said.startswith("15 keys are parked (E 5, D 4, C 3, B 2, …): `sluice queue parked`")
