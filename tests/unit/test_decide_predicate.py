"""Which workloads are selected, in trivy-operator's words."""

from __future__ import annotations

import pytest

from common.settings.parse import parse
from watcher.decide.predicate import (
    MANAGED_BY_A_SCANNER,
    Predicate,
    Selection,
    Subject,
    in_namespaces,
    selection,
)


def _selection(**environ: str) -> Selection:
    return selection(parse(environ).scope)


def _subject(namespace: str = "shop", kind: str = "Pod", **labels: str) -> Subject:
    return Subject(kind=kind, namespace=namespace, labels=labels)


@pytest.mark.parametrize(
    ("targets", "excluded", "namespace", "expected"),
    [
        ("", "", "anything", True),
        ("", "kube-*,dev", "kube-system", False),
        ("", "kube-*, dev", "dev", False),
        ("", "kube-*,dev", "shop", True),
        ("", "[", "shop", True),  # malformed: include
        ("shop", "", "shop", True),
        ("shop", "", "other", False),
        ("shop,dev", "", "dev", True),
        ("shop", "shop", "shop", True),  # exclusion counts only where all are targets
        ("sluice", "", "sluice", True),  # the operator's own namespace alone
    ],
)
def test_the_install_mode_decides_about_namespaces(
    targets: str, excluded: str, namespace: str, *, expected: bool
) -> None:
    """OwnNamespace, SingleNamespace, MultiNamespace and AllNamespaces of trivy-operator."""
    chosen = _selection(
        OPERATOR_NAMESPACE="sluice",
        OPERATOR_TARGET_NAMESPACES=targets,
        OPERATOR_EXCLUDE_NAMESPACES=excluded,
    )
    assert chosen.covers(namespace) is expected
    assert (chosen.refusal("Pod", namespace, {}) == "") is expected


def test_each_refusal_has_a_reason_of_its_own() -> None:
    """The user sees it in `history`."""
    chosen = _selection(
        OPERATOR_TARGET_WORKLOADS="pod",
        OPERATOR_EXCLUDE_NAMESPACES="dev",
        SLUICE_SKIP_RESOURCE_BY_LABELS="no-scan",
    )
    assert chosen.refusal("Pod", "shop", {}) == ""
    assert chosen.refusal("Pod", "dev", {}) == "NamespaceExcluded"
    assert chosen.refusal("Job", "shop", {}) == "KindNotTargeted"
    assert chosen.refusal("Pod", "shop", {"no-scan": "false"}) == "SkipLabel"
    managed = {"app.kubernetes.io/managed-by": "trivy-operator"}
    assert chosen.refusal("Pod", "shop", managed) == "ManagedByScanner"


def test_a_scanners_own_objects_are_never_scanned() -> None:
    """trivy-operator's scan Jobs would make scan Jobs."""
    assert MANAGED_BY_A_SCANNER(
        Subject(kind="Job", namespace="x", labels={"app.kubernetes.io/managed-by": "kube-sluice"})
    )
    assert not MANAGED_BY_A_SCANNER(
        Subject(kind="Job", namespace="x", labels={"app.kubernetes.io/managed-by": "Helm"})
    )


def test_an_object_without_a_namespace_is_matched_by_a_star_only() -> None:
    """As trivy-operator does; the caveat stands in the predicate."""
    assert in_namespaces(["*"])(_subject(""))
    assert not in_namespaces(["shop"])(_subject(""))


def test_a_composed_predicate_tells_its_parts_and_what_they_miss() -> None:
    """A reader must be able to see what a filter will not find."""
    both = in_namespaces(["a"]) & ~MANAGED_BY_A_SCANNER
    assert both.name == "(InNamespaces(a) and not ManagedByAScanner)"
    assert MANAGED_BY_A_SCANNER.misses in both.misses
    either: Predicate = in_namespaces(["a"]) | in_namespaces(["b"])
    assert either(_subject("b"))
    assert not either(_subject("c"))
