"""Projects the cluster's own software into the bodies of its two reports, as trivy-operator does.

The document is the one that Trivy's library makes of the same facts (`trivy k8s --format
cyclonedx`), but for identifiers: they follow from content, so that nothing is rewritten for them.
Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import quote

import msgspec

from common.model.clusterrow import KbomComponent, KbomImage, KbomNode, KbomPackage, KbomRow
from common.model.image import ImageRecord, Inventory, Match, Os
from common.model.key import ImageKey
from common.reports.body import ReportBody
from common.reports.catalog import CLUSTER_SBOM_REPORT, CLUSTER_VULNERABILITY_REPORT
from common.reports.naming import KBOM_REGISTRY, KBOM_REPOSITORY
from worker.project import vulnerability
from worker.project.artifact import header
from worker.project.bom import Bom, Component, Dependency, Property, identifier, write
from worker.project.context import ReportContext, ReportOptions

_SPEC_VERSION = "1.7"  # that of Trivy 0.76
_TRIVY = "aquasecurity:trivy:"
_RESOURCE = f"{_TRIVY}resource:"
_KUBELET = "k8s.io/kubelet"
_CORE = "node-core-components"
_CLUSTER = f"{KBOM_REGISTRY}/{KBOM_REPOSITORY}"
_RUNTIMES = {
    "cri-o": "github.com/cri-o/cri-o",
    "containerd": "github.com/containerd/containerd",
    "cri-dockerd": "github.com/Mirantis/cri-dockerd",
}
_RELEASE = re.compile(r"v?\d+(\.\d+)*(-[0-9A-Za-z.-]+|[A-Za-z][0-9A-Za-z.-]*)?(\+[0-9A-Za-z.-]+)?")


def context_of(row: KbomRow, *, scanner_version: str, options: ReportOptions) -> ReportContext:
    """Return the cluster as the image that trivy-operator takes it for."""
    return ReportContext(
        reference=f"{_CLUSTER}:{row.version}",
        digest="",
        scanner_version=scanner_version,
        options=options,
    )


def bill(row: KbomRow, context: ReportContext) -> ReportBody:
    """Return the body of the ClusterSbomReport."""
    bom = _bom(row)
    return ReportBody(
        kind=CLUSTER_SBOM_REPORT,
        report={
            **header(context),
            "summary": {
                "componentsCount": len(bom.components) + 1,
                "dependenciesCount": len(bom.dependencies),
            },
            "components": write(bom, tool_version=context.scanner_version),
        },
    )


def vulnerabilities(row: KbomRow, match: Match, context: ReportContext) -> ReportBody:
    """Return the body of the ClusterVulnerabilityReport."""
    inventory = Inventory(
        scanner_version=context.scanner_version,
        artifact_id="",
        blob_ids=(),
        target="",
        os=_os(row),
        covered=True,
        has_packages=True,
    )
    record = ImageRecord(inventory=inventory, match=match)
    key = ImageKey(digest="", platform="", options="")
    body = vulnerability.project([(key, record)], context)
    return replace(body, kind=CLUSTER_VULNERABILITY_REPORT)


def packages(row: KbomRow) -> tuple[KbomPackage, ...]:
    """Return what the vulnerability database is asked about: each program in each version once."""
    return tuple(sorted(set(_packages(row))))


def _packages(row: KbomRow) -> Iterable[KbomPackage]:
    where = _distribution_of(row)
    yield from _kubernetes(_CLUSTER, _tagged(row.version), where)
    for component in row.components:
        yield from _kubernetes(component.name, _tagged(component.version), where)
    for node in row.nodes:
        yield from _kubernetes(_KUBELET, _tagged(node.kubelet), node.name)
        name, version = _runtime(node)
        if name and version:
            purl = _purl("golang", "", name, version)
            yield KbomPackage(type="gobinary", name=name, version=version, purl=purl)


def _kubernetes(name: str, version: str, node: str) -> Iterable[KbomPackage]:
    distribution = _distribution(version, node)
    if version and distribution is not None:
        purl = _purl("k8s", distribution, name, version)
        kind = distribution or "kubernetes"
        yield KbomPackage(type=kind, name=name, version=version, purl=purl)


def _distribution_of(row: KbomRow) -> str:
    """Return the node by whose name distributions are recognised."""
    return row.nodes[0].name if row.nodes else ""


def _distribution(version: str, node: str) -> str | None:
    """Return whose Kubernetes it is; empty: upstream's, None: nobody knows its vulnerabilities.

    Source: trivy, pkg/k8s/scanner, `k8sNamespace`.
    """
    if "eks" in version:
        return "eks"
    if "gke" in version:
        return "gke"
    if "hotfix" in version:
        return "aks" if "aks" in node else None
    return "ocp" if "ocp" in node else ""


# --- the document ---------------------------------------------------------------------------------


class _Building:
    """Components with identifiers of their own, and what holds what."""

    def __init__(self) -> None:
        self.components: list[Component] = []
        self.needs: dict[str, set[str]] = {}
        self._met: Counter[str] = Counter()

    def add(self, component: Component, *, within: str) -> str:
        """Add a component that another holds; return its identifier.

        Its package URL where it is the first of it, as Trivy does, else one made of content.
        """
        seed = component.purl or identifier([within, msgspec.to_builtins(component)])
        self._met[seed] += 1
        ref = seed if self._met[seed] == 1 else identifier([seed, within, self._met[seed]])
        self.components.append(_with(component, ref))
        self.needs.setdefault(within, set()).add(ref)
        return ref


def _with(component: Component, ref: str) -> Component:
    return Component(
        ref=ref,
        type=component.type,
        name=component.name,
        version=component.version,
        purl=component.purl,
        properties=tuple(sorted(component.properties)),
    )


def _bom(row: KbomRow) -> Bom:
    where, building = _distribution_of(row), _Building()
    version = _tagged(row.version)
    root = Component(
        type="platform",
        name=_CLUSTER,
        version=version,
        purl=_kubernetes_purl(_CLUSTER, version, where),
        properties=_resource({"Name": _CLUSTER, "Type": "cluster"}),
    )
    root = _with(root, root.purl or identifier(["cluster", version]))
    for component in row.components:
        _add_component(building, component, root=root.ref, where=where)
    for node in row.nodes:
        _add_node(building, node, root=root.ref)
    return Bom(
        root=root,
        components=tuple(sorted(building.components, key=lambda one: one.ref)),
        dependencies=tuple(
            Dependency(ref=ref, depends_on=tuple(sorted(needs)))
            for ref, needs in sorted(building.needs.items())
        ),
        spec_version=_SPEC_VERSION,
    )


def _add_component(building: _Building, component: KbomComponent, *, root: str, where: str) -> None:
    version = _tagged(component.version)
    made = Component(
        type="application",
        name=component.name,
        version=version,
        purl=_kubernetes_purl(component.name, version, where),
        properties=_resource({"Name": component.owner, "Type": component.type}),
    )
    ref = building.add(made, within=root)
    for image in component.images:
        building.add(_image(image), within=ref)


def _image(image: KbomImage) -> Component:
    name = f"{image.registry}/{image.repository}"
    short = image.repository.rpartition("/")[2].lower()
    url = quote(name, safe=":")
    return Component(
        type="container",
        name=name,
        version=image.digest,
        purl=f"pkg:oci/{short}@{image.digest}?repository_url={url}",
        properties=_plain({"PkgID": f"{name}:{_tagged(image.tag)}", "PkgType": "oci"}),
    )


def _add_node(building: _Building, node: KbomNode, *, root: str) -> None:
    told = {
        "NodeRole": node.role,
        "HostName": node.name,
        "KernelVersion": node.kernel,
        "OperatingSystem": node.operating_system,
        "Architecture": node.architecture,
    }
    properties = (*_plain(told), *_resource({"Name": node.name, "Type": "node"}))
    ref = building.add(
        Component(type="platform", name=node.name, properties=properties), within=root
    )
    os, release = _release(node.os_image)
    building.add(
        Component(
            type="operating-system",
            name=os,
            version=release,
            properties=_plain({"Class": "os-pkgs", "Type": os}),
        ),
        within=ref,
    )
    core = building.add(Component(type="application", name=_CORE), within=ref)
    runtime, runtime_version = _runtime(node)
    kubelet = _tagged(node.kubelet)
    for name, version, purl in (
        (_KUBELET, kubelet, _kubernetes_purl(_KUBELET, kubelet, node.name)),
        (runtime, runtime_version, _purl("golang", "", runtime, runtime_version)),
    ):
        if name:
            program = Component(
                type="application",
                name=name,
                version=version,
                purl=purl,
                properties=_resource({"Name": name, "Type": "node"}),
            )
            building.add(program, within=core)


def _os(row: KbomRow) -> Os:
    """Return the operating system of all nodes; none where they differ."""
    found = {_release(node.os_image) for node in row.nodes}
    family, release = found.pop() if len(found) == 1 else ("", "")
    return Os(family=family, name=release)


def _release(image: str) -> tuple[str, str]:
    """Return name and version of `Debian GNU/Linux 12 (bookworm)`: words up to a version."""
    words: list[str] = []
    for word in image.split(" "):
        if _RELEASE.fullmatch(word):
            return " ".join(words).lower().strip(), word
        words.append(word)
    return " ".join(words).lower().strip(), ""


def _runtime(node: KbomNode) -> tuple[str, str]:
    """Return name and version of a node's runtime; empty: it tells none.

    One without a known repository goes by what the node says, as in Trivy.
    """
    runtime, found, version = node.runtime.partition("://")
    return (_RUNTIMES.get(runtime, node.runtime), _tagged(version)) if found else ("", "")


def _tagged(version: str) -> str:
    return version if not version or version.startswith("v") else f"v{version}"


def _kubernetes_purl(name: str, version: str, node: str) -> str:
    distribution = _distribution(version, node)
    return "" if distribution is None else _purl("k8s", distribution, name, version)


def _purl(kind: str, namespace: str, name: str, version: str) -> str:
    """Return a package URL as Go's library spells it: slashes in the name are escaped."""
    place = f"{kind}/{namespace}" if namespace else kind
    tail = f"@{quote(version, safe=':')}" if version else ""
    return f"pkg:{place}/{quote(name.lower() if kind == 'golang' else name, safe='')}{tail}"


def _resource(values: Mapping[str, str]) -> tuple[Property, ...]:
    return tuple(Property(name=f"{_RESOURCE}{name}", value=text) for name, text in values.items())


def _plain(values: Mapping[str, str]) -> tuple[Property, ...]:
    return tuple(Property(name=f"{_TRIVY}{name}", value=text) for name, text in values.items())
