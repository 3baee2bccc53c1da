"""Trap 27 with real parts: what a tenant may pull decides what it gets, and nobody reads of others.

Only the kubelet is a stand-in: it asks by HEAD, the product pulls by GET.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from common.model.errors import PreconditionError
from common.model.key import ImageKey, parse_key
from sandbox.demo.world import create_all
from sandbox.faults import Answer, Login
from sandbox.images import Pushed, push, touch
from sandbox.manifests import Part, workload
from tests.fixtures_sandbox import lacking
from tests.living import Living, eventually, living

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def alive() -> Iterator[Living]:
    """Give the product at work."""
    try:
        with living() as one:
            yield one
    except PreconditionError as error:
        lacking(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A namespace and its own repository of an image."""

    namespace: str
    image: Pushed


def tenant(alive: Living, version: str, *, sample: str = "alpine-app") -> Tenant:
    """Push a sample, with a digest of that version's own, where nobody else has it."""
    named = replace(touch(sample, version), name=f"plan-{secrets.token_hex(4)}", tags=("1.0",))
    (pushed,) = push(alive.world.registry.address, [named]).values()
    return Tenant(namespace=alive.namespace(), image=pushed)


def lend(alive: Living, namespace: str, name: str, password: str) -> None:
    """Store a pull secret for the registry."""
    pair = base64.b64encode(f"ann:{password}".encode()).decode()
    config = json.dumps({"auths": {alive.world.registry.address: {"auth": pair}}})
    secret = {
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    }
    alive.world.plane.api.create(f"/api/v1/namespaces/{namespace}/secrets", secret)


def deploy(alive: Living, namespace: str, image: str, *pull_secrets: str) -> None:
    """Create a Deployment."""
    parts = [Part(name="c0", image=image)]
    made = workload("Deployment", "web", parts, namespace=namespace, pull_secrets=pull_secrets)
    create_all(alive.world.plane.api, [made])


def told(alive: Living, namespace: str) -> list[Any]:
    """Return the Events about images that failed."""
    return [event for event in alive.events(namespace) if event["reason"] == "ScanFailed"]


def all_reports(alive: Living, namespace: str) -> str:
    """Return every report of a namespace as text."""
    kinds = ("VulnerabilityReport", "SbomReport", "ExposedSecretReport")
    return json.dumps([alive.reports(namespace, kind) for kind in kinds])


def image_facts(alive: Living, digest: str) -> list[str]:
    """Return what histories tell of an image."""
    facts = [fact for _, fact in alive.ledger().tail(5000) if digest in fact.key]
    assert all(isinstance(parse_key(fact.key), ImageKey) for fact in facts)
    return [json.dumps(fact.data) for fact in facts]


def test_a_private_digest_is_no_answer_for_who_may_not_pull_it(alive: Living) -> None:
    """The record is there, complete; the neighbour has no secret, then a wrong one."""
    owner, other = tenant(alive, "private"), alive.namespace()
    lock = Login(username="ann", password="s3cr3t-of-a")  # noqa: S106 - made up
    with alive.world.registry.fail(lock, repository=owner.image.repository):
        # A stale secret stands in front of the good one.
        lend(alive, owner.namespace, "stale", "last-years")
        lend(alive, owner.namespace, "good", "s3cr3t-of-a")
        deploy(alive, owner.namespace, owner.image.reference, "stale", "good")
        alive.await_report(owner.namespace)
        lend(alive, other, "wrong", "guessed")
        deploy(alive, other, owner.image.pinned, "wrong")
        event = eventually(lambda: told(alive, other))[0]
    assert "refuses our credentials" in event["message"]
    assert alive.reports(other) == {}
    table = alive.images()
    known = table.keys()
    keys = [key for key in known if key.digest == owner.image.digest]
    assert {use.namespace for key in keys for use in table.uses(key)} == {owner.namespace}
    everything = json.dumps(alive.events(other)) + "".join(image_facts(alive, owner.image.digest))
    for secret in ("s3cr3t-of-a", "last-years", "guessed"):
        assert secret not in everything


def test_a_failure_tells_nobody_where_his_neighbour_pulls_from(alive: Living) -> None:
    """One digest in two repositories, both closed to us: each reads of its own alone."""
    one, two = tenant(alive, "shared"), tenant(alive, "shared")
    assert one.image.digest == two.image.digest
    registry = alive.world.registry
    with (
        registry.fail(Answer(status=403), repository=one.image.repository, method="GET"),
        registry.fail(Answer(status=403), repository=two.image.repository, method="GET"),
    ):
        for each in (one, two):
            deploy(alive, each.namespace, each.image.reference)
        for each, neighbour in ((one, two), (two, one)):
            (event, *_) = eventually(partial(told, alive, each.namespace))
            assert each.image.repository in event["message"]
            assert "refuses our credentials" in event["message"]
            events = json.dumps(alive.events(each.namespace))
            assert neighbour.image.repository not in events
            assert neighbour.namespace not in events
    facts = image_facts(alive, one.image.digest)
    assert any("refuses our credentials" in fact for fact in facts)
    alive.product.sluice("rescan", one.image.digest)
    for each in (one, two):
        alive.await_report(each.namespace)
        eventually(partial(alive.reports, each.namespace, "SbomReport"))
    for each, neighbour in ((one, two), (two, one)):
        text = all_reports(alive, each.namespace)
        assert each.image.repository in text
        assert neighbour.image.repository not in text
    story = "".join(image_facts(alive, one.image.digest))
    assert one.image.repository not in story
    assert two.image.repository not in story
