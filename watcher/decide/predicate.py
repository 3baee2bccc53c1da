"""Predicates over objects: pure, composable, each with a name and with what it will miss.

    watched = in_namespaces(["team-*"]) & ~MANAGED_BY_A_SCANNER

A `Rule` gives a predicate the reason that a refused workload shows; `selection` is the list of them
that trivy-operator's settings spell: what it would not even enqueue, then what it skips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from common.model import patterns
from common.settings.value import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a predicate may look at."""

    kind: str
    namespace: str  # empty: the object belongs to no namespace
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """A claim about an object, and what a reader of the claim must not expect of it."""

    name: str
    misses: str
    test: Callable[[Subject], bool]

    def __call__(self, subject: Subject) -> bool:
        """Return whether the claim holds."""
        return self.test(subject)

    def __and__(self, other: Predicate) -> Predicate:
        return Predicate(
            name=f"({self.name} and {other.name})",
            misses=_both(self.misses, other.misses),
            test=lambda subject: self.test(subject) and other.test(subject),
        )

    def __or__(self, other: Predicate) -> Predicate:
        return Predicate(
            name=f"({self.name} or {other.name})",
            misses=_both(self.misses, other.misses),
            test=lambda subject: self.test(subject) or other.test(subject),
        )

    def __invert__(self) -> Predicate:
        return Predicate(
            name=f"not {self.name}",
            misses=self.misses,
            test=lambda subject: not self.test(subject),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A predicate that must hold, and the stable reason to give when it does not."""

    predicate: Predicate
    refusal: str


MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
# The values under which trivy-operator's scan Jobs and our own objects go: never scan a scanner's
# own work, it would make more of it.
SCANNERS = frozenset({"trivy-operator", "kube-sluice"})


def in_namespaces(globs: Iterable[str]) -> Predicate:
    """Claim that a pattern matches the object's namespace."""
    wanted = tuple(globs)
    return Predicate(
        name=f"InNamespaces({','.join(wanted)})",
        misses="objects without a namespace, unless a pattern matches the empty text (`*` does); "
        "everything, where the pattern is malformed",
        test=lambda subject: any(patterns.matches(one, subject.namespace) for one in wanted),
    )


def of_kinds(kinds: Iterable[str]) -> Predicate:
    """Claim that the object is of one of the kinds."""
    wanted = frozenset(kinds)
    return Predicate(
        name=f"OfKinds({','.join(sorted(wanted))})",
        misses="Pods of a controller whose kind is left out: they are not workloads themselves",
        test=lambda subject: subject.kind in wanted,
    )


def has_label_key(keys: Iterable[str]) -> Predicate:
    """Claim that the object carries one of the label keys, with whatever value."""
    wanted = frozenset(keys)
    return Predicate(
        name=f"HasLabelKey({','.join(sorted(wanted))})",
        misses="labels of the pod template, and of the Deployment above a ReplicaSet "
        "unless the Deployment's template carries them",
        test=lambda subject: not wanted.isdisjoint(subject.labels),
    )


MANAGED_BY_A_SCANNER = Predicate(
    name="ManagedByAScanner",
    misses="scanners that do not set the label, trivy-operator's own Deployment among them "
    "(its chart says `Helm`)",
    test=lambda subject: subject.labels.get(MANAGED_BY_LABEL) in SCANNERS,
)


def namespace_selected(scope: Scope) -> Predicate:
    """Claim that the install mode covers the object's namespace.

    No target: all but the excluded. One target, the operator's own namespace: that one. One other
    target: that one. Several: those. Exclusion counts only where there is no target.
    """
    if scope.target_namespaces:
        return in_namespaces(scope.target_namespaces)
    return ~in_namespaces(scope.exclude_namespaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rules that a workload must pass to be scanned, the cheapest refusal first."""

    namespaces: Predicate
    rules: tuple[Rule, ...]

    def covers(self, namespace: str) -> bool:
        """Return whether anything in the namespace can be selected."""
        return self.namespaces(Subject(kind="", namespace=namespace, labels={}))

    def refusal(self, kind: str, namespace: str, labels: Mapping[str, str]) -> str:
        """Return why the first broken rule refuses the object; empty: all hold."""
        subject = Subject(kind=kind, namespace=namespace, labels=labels)
        return next((rule.refusal for rule in self.rules if not rule.predicate(subject)), "")


def selection(scope: Scope) -> Selection:
    """Return what the settings select; the order is trivy-operator's."""
    namespaces = namespace_selected(scope)
    rules = [
        Rule(predicate=namespaces, refusal="NamespaceExcluded"),
        Rule(predicate=~MANAGED_BY_A_SCANNER, refusal="ManagedByScanner"),
        Rule(predicate=of_kinds(scope.target_workloads), refusal="KindNotTargeted"),
    ]
    if scope.skip_labels:
        rules.append(Rule(predicate=~has_label_key(scope.skip_labels), refusal="SkipLabel"))
    return Selection(namespaces=namespaces, rules=tuple(rules))


def _both(one: str, other: str) -> str:
    return one if one == other else f"{one}; {other}"
