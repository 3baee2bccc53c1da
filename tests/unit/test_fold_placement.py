"""The platform of what never ran: where the template says that it may."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from common.kube.wire import PodSpec
from watcher.fold.placement import ANYWHERE, Placement, placement_of

ARM = ("linux-arm64",)


def spec(**fields: Any) -> PodSpec:
    """Return a pod spec as an API server writes it."""
    return msgspec.convert(fields, PodSpec)


def affinity(*terms: list[tuple[str, str, list[str]]]) -> dict[str, Any]:
    """Return a required node affinity of such terms."""
    listed = [
        {
            "matchExpressions": [
                {"key": key, "operator": operator, "values": values}
                for key, operator, values in term
            ]
        }
        for term in terms
    ]
    required = {"nodeSelectorTerms": listed}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


ARCH, OS = "kubernetes.io/arch", "kubernetes.io/os"


@pytest.mark.parametrize(
    ("template", "platform"),
    [
        ({}, "linux-amd64"),
        ({"nodeSelector": {"disk": "ssd"}}, "linux-amd64"),
        ({"nodeSelector": {ARCH: "arm64"}}, "linux-arm64"),
        ({"nodeSelector": {"beta.kubernetes.io/arch": "arm64"}}, "linux-arm64"),
        ({"nodeSelector": {OS: "windows"}}, "windows-amd64"),
        ({"nodeSelector": {OS: "linux", ARCH: "amd64"}}, "linux-amd64"),
        ({"affinity": affinity([(ARCH, "In", ["arm64"])])}, "linux-arm64"),
        ({"affinity": affinity([(ARCH, "In", ["s390x", "arm64"])])}, "linux-arm64"),
        ({"affinity": affinity([(ARCH, "In", ["arm64", "amd64"])])}, "linux-amd64"),
        ({"affinity": affinity([(ARCH, "NotIn", ["amd64"])])}, "linux-amd64"),
        ({"affinity": affinity([(ARCH, "In", ["arm64"])], [("disk", "In", ["a"])])}, "linux-amd64"),
        ({"affinity": affinity([(ARCH, "In", ["arm64"])], [(ARCH, "In", ["s390x"])])}, ARM[0]),
        (
            {"affinity": affinity([(ARCH, "In", ["arm64", "s390x"]), (ARCH, "In", ["s390x"])])},
            "linux-s390x",
        ),
        ({"affinity": affinity([(ARCH, "In", [])])}, "linux-amd64"),
        ({"affinity": {}}, "linux-amd64"),
        ({"affinity": {"nodeAffinity": {}}}, "linux-amd64"),
        (
            {"nodeSelector": {ARCH: "s390x"}, "affinity": affinity([(ARCH, "In", ["arm64"])])},
            "linux-s390x",
        ),
    ],
)
def test_the_platform_is_one_that_the_template_allows(
    template: dict[str, Any], platform: str
) -> None:
    """The commonest one of the cluster where it is allowed, else the first that is."""
    assert placement_of(spec(**template)).assumed("linux-amd64") == platform


def test_a_variant_stays_where_the_architecture_does() -> None:
    """`SLUICE_PLATFORM` may name one."""
    assert Placement((), ("arm",)).assumed("linux-arm-v7") == "linux-arm-v7"
    assert Placement((), ("arm64",)).assumed("linux-arm-v7") == "linux-arm64"
    assert ANYWHERE.assumed("linux-arm-v7") == "linux-arm-v7"
