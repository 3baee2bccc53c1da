"""Names against vectors that trivy-operator's own tests and documents state."""

from __future__ import annotations

import pytest

from common.reports.naming import (
    check_report_name,
    cluster_sbom_name,
    collision_name,
    container_report_name,
    hash_list,
    hash_reference,
    hash_string,
    infra_report_name,
    is_dns_label,
    is_label_value,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("system:controller:node-controller", "6f69bb5b79"),
        ("pod-Reader", "65c67c5c64"),
        ("some-Owner", "5ccc5d4cff"),
        ("system:controller:token-cleaner", "868458b9d6"),
        ("system:controller:cloud-provider", "79f88497"),
        ("index.docker.io/alpine:3.12.0", "56bcdb7c95"),
        ("k8s.gcr.io/kube-apiserver:v1.21.1", "6857f776bb"),
        ("k8s.io/kubernetes:1.21.1", "584b5cdcd5"),
    ],
)
def test_a_string_hashes_as_in_trivy_operator(text: str, expected: str) -> None:
    """Reports of both projects about one object must have one name."""
    assert hash_string(text) == expected


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "expected"),
    [
        ("ReplicaSet", "nginx-6799fc88d8", "prod-ns", "64d65c457"),
        ("Pod", "my-pod", "default", "648f669b9c"),
        ("Deployment", "nginx-deployment", "app-namespace", "77cdb65cfc"),
        ("ClusterSbomReport", "sbom-k8s-cluster", "", "5586fcf885"),
    ],
)
def test_a_reference_hashes_as_in_trivy_operator(
    kind: str, name: str, namespace: str, expected: str
) -> None:
    """Its scan Jobs bear these names; we must recognise them."""
    assert hash_reference(kind, name, namespace) == expected


def test_the_empty_list_hashes_to_the_constant_of_the_chart() -> None:
    """`plugin-config-hash` of every default installation."""
    assert hash_list([]) == "9f85fb657"


def test_a_list_hashes_its_items_in_order() -> None:
    """Policies are sorted by the caller, so order is part of the value."""
    assert hash_list(["a", "b"]) != hash_list(["b", "a"])


def test_a_lone_surrogate_is_hashed_and_not_refused() -> None:
    """Names come from outside; a hash that raises would park a key for ever."""
    assert hash_string("\ud800")


@pytest.mark.parametrize(
    "text", ["", "a", "A", "0", "a-b_c.d", "x" * 63, "Web.1"], ids=lambda text: text[:8] or "empty"
)
def test_text_that_may_be_a_label_value_is_let_through(text: str) -> None:
    """The plain name is what users search for."""
    assert is_label_value(text)


@pytest.mark.parametrize(
    "text", ["-a", "a-", ".", "a b", "x" * 64, "é", "a\n", "a/b"], ids=lambda text: repr(text[:8])
)
def test_text_that_the_api_refuses_as_a_label_value_is_seen(text: str) -> None:
    """One bad label would make the API server refuse the whole report."""
    assert not is_label_value(text)


@pytest.mark.parametrize("text", ["a.b", "A", "", "a_b", "-a", "a-", "x" * 64, "a\n"])
def test_a_dns_label_has_neither_dots_nor_upper_case(text: str) -> None:
    """Check-based reports have the stricter rule upstream."""
    assert not is_dns_label(text)


def test_a_container_report_bears_kind_owner_and_container() -> None:
    """The name that users type."""
    name = container_report_name("ReplicaSet", "web-6799fc88d8", "app")
    assert name == "replicaset-web-6799fc88d8-app"


def test_a_container_report_of_a_long_owner_bears_the_hash() -> None:
    """63 characters still go, 64 do not."""
    fits = container_report_name("Pod", "x" * 55, "app")
    assert fits == f"pod-{'x' * 55}-app"
    assert len(fits) == 63
    long = "x" * 56
    assert container_report_name("Pod", long, "app") == f"pod-{hash_string(f'{long}-app')}"


def test_a_check_report_of_a_name_with_dots_bears_the_hash() -> None:
    """Upstream's check reports allow a DNS label only."""
    assert check_report_name("Role", "pod-reader") == "role-pod-reader"
    assert check_report_name("Role", "pod-Reader") == "role-65c67c5c64"
    assert check_report_name("Role", "system.reader") == f"role-{hash_string('system.reader')}"


def test_an_infra_report_of_a_name_with_dots_keeps_it() -> None:
    """A node's name is a domain name."""
    assert infra_report_name("Node", "node-1.example.test") == "node-node-1.example.test"
    assert infra_report_name("Node", "x" * 63) == f"node-{hash_string('x' * 63)}"


def test_a_cluster_sbom_is_named_by_the_hash_without_library() -> None:
    """Docker Hub's implied folder is not part of what is hashed."""
    assert cluster_sbom_name("index.docker.io", "library/alpine", "3.12.0") == "56bcdb7c95"
    assert cluster_sbom_name("k8s.io", "kubernetes", "1.21.1") == "584b5cdcd5"


def test_the_later_owner_takes_a_name_of_its_own() -> None:
    """Trap 7. Pod web/db-app and Pod web-db/app share the plain name, and upstream's hash too."""
    plain = container_report_name("Pod", "web", "db-app")
    assert plain == container_report_name("Pod", "web-db", "app") == "pod-web-db-app"
    first = collision_name("Pod", "uid-of-web", "db-app")
    second = collision_name("Pod", "uid-of-web-db", "app")
    assert len({plain, first, second}) == 3
    assert all(is_dns_label(name) for name in (first, second))


def test_a_name_of_ones_own_stays_the_same() -> None:
    """The next pass must find the report under the name that this pass gave it."""
    name = collision_name("Pod", "5c5e4a6e-0000-4000-8000-000000000001", "app")
    assert name == collision_name("Pod", "5c5e4a6e-0000-4000-8000-000000000001", "app")
    assert name == "pod-d822fe28d2"


def test_two_containers_of_one_owner_take_two_names() -> None:
    """The container is part of what is hashed."""
    assert collision_name("Pod", "uid", "a") != collision_name("Pod", "uid", "b")
