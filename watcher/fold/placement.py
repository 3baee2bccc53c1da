"""Where a pod template may run, as far as its image's platform goes. Pure.

Read from the node selector and the required node affinity, for workloads of which no node tells
anything yet: a CronJob for arm64 in a cluster of amd64 has no image for the commonest platform.
"""

from __future__ import annotations

import sys

import msgspec

from common.kube.wire import NodeTerm, PodSpec

# The second name of each is the one of before Kubernetes 1.14, which nodes still carry.
_OS = ("kubernetes.io/os", "beta.kubernetes.io/os")
_ARCH = ("kubernetes.io/arch", "beta.kubernetes.io/arch")


class Placement(msgspec.Struct, frozen=True):
    """Operating systems and architectures that nodes may have, sorted; empty: any."""

    oses: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()

    def assumed(self, default: str) -> str:
        """Return the platform to assume: the cluster's commonest as far as it is allowed."""
        os, _, rest = default.partition("-")
        arch = rest.partition("-")[0]
        chosen_os = os if not self.oses or os in self.oses else self.oses[0]
        if not self.arches or arch in self.arches:
            return sys.intern(f"{chosen_os}-{rest}")
        return sys.intern(f"{chosen_os}-{self.arches[0]}")


ANYWHERE = Placement()


def placement_of(spec: PodSpec) -> Placement:
    """Return where the pods may run. What only excludes nodes (`NotIn`) is not followed."""
    if not spec.node_selector and spec.affinity is None:
        return ANYWHERE
    oses, arches = _allowed(spec, _OS), _allowed(spec, _ARCH)
    return Placement(oses, arches) if oses or arches else ANYWHERE


def _allowed(spec: PodSpec, names: tuple[str, ...]) -> tuple[str, ...]:
    selector = spec.node_selector or {}
    chosen = next((selector[name] for name in names if selector.get(name)), "")
    if chosen:
        return (sys.intern(chosen),)
    affinity = spec.affinity.node_affinity if spec.affinity else None
    required = affinity.required if affinity else None
    terms = [_of_term(term, names) for term in (required.terms if required else None) or ()]
    if not all(terms):
        return ()  # one of the alternatives allows any
    return tuple(sorted({sys.intern(value) for term in terms for value in term}))


def _of_term(term: NodeTerm, names: tuple[str, ...]) -> frozenset[str]:
    """Return the values that a term allows, all of whose expressions must hold; empty: any."""
    listed = [
        frozenset(one.values or ())
        for one in term.expressions or ()
        if one.key in names and one.operator == "In"
    ]
    return frozenset.intersection(*listed) if listed else frozenset()
