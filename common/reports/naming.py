"""Names of reports as trivy-operator gives them, and its hash for what makes no valid name.

The hash is FNV-1a 32 bit over Go's debug print of the value, its decimal digits spelled in
Kubernetes' safe alphabet. It is no protection against a search: two owners of one namespace can be
made to share a name, so a name held by another live owner is left to it (`collision_name`).
Pure, total.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from common.model.errors import BadReferenceError
from common.model.refs import parse_reference

_FNV_OFFSET = 0x811C9DC5  # FNV-1a, 32 bit
_FNV_PRIME = 0x01000193
_SAFE_DIGITS = str.maketrans("0123456789", "456789bcdf")  # k8s.io/apimachinery SafeEncodeString
_MAX_LABEL = 63
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", re.ASCII)
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
# 40 bits: the name is tried only after a collision, and a second one is refused by the owner check.
_COLLISION_HEX_DIGITS = 10


def hash_text(printed: str) -> str:
    """Return 1 to 10 characters of `456789bcdf` for the debug print of a Go value."""
    value = _FNV_OFFSET
    for byte in printed.encode("utf-8", "surrogatepass"):
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return str(value).translate(_SAFE_DIGITS)


def hash_string(text: str) -> str:
    """Return the hash of a Go string."""
    return hash_text(f"(string){text}")


def hash_reference(kind: str, name: str, namespace: str) -> str:
    """Return the hash of a reference to an object, as in names of trivy-operator's scan Jobs."""
    return hash_text(
        f"(kube.ObjectRef){{Kind:(kube.Kind){kind} Name:(string){name}"
        f" Namespace:(string){namespace}}}"
    )


def hash_list(items: Iterable[str]) -> str:
    """Return the hash of a list of strings, as in the label `plugin-config-hash`."""
    return hash_text("([]string)[" + " ".join(items) + "]")


def is_label_value(text: str) -> bool:
    """Whether `text` may stand as the value of a label; an empty one may, but names nothing."""
    return len(text) <= _MAX_LABEL and (not text or _LABEL_VALUE.fullmatch(text) is not None)


def is_dns_label(text: str) -> bool:
    """Whether `text` is a DNS-1123 label."""
    return len(text) <= _MAX_LABEL and _DNS_LABEL.fullmatch(text) is not None


def container_report_name(kind: str, name: str, container: str) -> str:
    """Return the name of a vulnerability, secret or SBOM report; `kind` and `name` of the owner."""
    plain = f"{kind.lower()}-{name}-{container}"
    if is_label_value(plain):
        return plain
    return f"{kind.lower()}-{hash_string(f'{name}-{container}')}"


def check_report_name(kind: str, name: str) -> str:
    """Return the name of a configuration or RBAC report about the object `kind`/`name`."""
    plain = f"{kind.lower()}-{name}"
    return plain if is_dns_label(plain) else f"{kind.lower()}-{hash_string(name)}"


def infra_report_name(kind: str, name: str) -> str:
    """Return the name of an infrastructure report; dots are allowed, as in a node's name."""
    plain = f"{kind.lower()}-{name}"
    return plain if is_label_value(plain) else f"{kind.lower()}-{hash_string(name)}"


def cluster_sbom_name(registry: str, repository: str, tag: str) -> str:
    """Return the name of the ClusterSbomReport of an image: always a hash."""
    return hash_string(f"{registry}/{repository.removeprefix('library/')}:{tag}")


# The cluster's own software as an image that no registry has.
KBOM_REGISTRY, KBOM_REPOSITORY = "k8s.io", "kubernetes"
# The container of the scan that trivy-operator makes of the cluster's own bill of materials.
KBOM_CONTAINER = "k8s-cluster"


def kbom_vulnerability_name(sbom: str) -> str:
    """Return the name of the ClusterVulnerabilityReport about the ClusterSbomReport `sbom`."""
    return container_report_name("ClusterSbomReport", sbom, KBOM_CONTAINER)


def image_sbom_name(reference: str) -> str:
    """Return the name of the ClusterSbomReport about an image; empty: `reference` names none.

    A digest stands in the tag's place, as where trivy-operator looks an entry up. It stores one
    under what is left of the tag: there it never finds it, and there all images of a repository
    that are named by digest alone meet.
    """
    try:
        parsed = parse_reference(reference)
    except BadReferenceError:
        return ""
    return cluster_sbom_name(parsed.registry, parsed.repository, parsed.digest or parsed.tag)


def collision_name(kind: str, owner_uid: str, container: str) -> str:
    """Return a name of the owner's own, for when another live owner holds the plain one.

    SHA-256, because trivy-operator's hash of name and container would collide again: Pod `web`
    with container `db-app` and Pod `web-db` with container `app` print the same.
    """
    digest = hashlib.sha256(f"{owner_uid}/{container}".encode()).hexdigest()
    return f"{kind.lower()}-{digest[:_COLLISION_HEX_DIGITS]}"
