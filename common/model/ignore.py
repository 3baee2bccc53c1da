"""Which findings a user wants left out: the rules of Trivy's ignore files. Pure, total.

Source of every choice here: `pkg/result/ignore.go` and `filter.go` of Trivy 0.76.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from common.model import doublestar
from common.model.purl import parse_purl


class IgnoreRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Findings of one identifier, everywhere or in some places."""

    id: str
    paths: tuple[str, ...] = ()  # patterns; empty: everywhere
    purls: tuple[str, ...] = ()  # package URLs; empty: every package
    expires_s: float | None = None  # Unix seconds; None: never

    def hides(self, path: str, purl: str) -> bool:
        """Return whether it holds for a finding at `path`, in the package `purl` (empty: none)."""
        if self.paths and not any(doublestar.matches(one, path) for one in self.paths):
            return False
        target = parse_purl(purl)
        if target is None or not self.purls:
            return True
        return any(
            known.covers(target) for one in self.purls if (known := parse_purl(one)) is not None
        )


class IgnoreRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ignore file."""

    vulnerabilities: tuple[IgnoreRule, ...] = ()
    secrets: tuple[IgnoreRule, ...] = ()

    @property
    def expiries_s(self) -> tuple[float, ...]:
        """The moments at which a rule ends, in order; Unix seconds."""
        rules = (*self.vulnerabilities, *self.secrets)
        return tuple(sorted({rule.expires_s for rule in rules if rule.expires_s is not None}))

    def active(self, now_s: float) -> Ignored:
        """Return what holds at `now_s`, in Unix seconds."""
        return Ignored(
            vulnerabilities=_by_id(self.vulnerabilities, now_s),
            secrets=_by_id(self.secrets, now_s),
        )


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that hold now, by identifier."""

    vulnerabilities: Mapping[str, tuple[IgnoreRule, ...]] = {}
    secrets: Mapping[str, tuple[IgnoreRule, ...]] = {}

    def hides_vulnerability(self, identifier: str, *, places: Iterable[str], purl: str) -> bool:
        """Return whether a vulnerability is left out; `places` are its target and its path."""
        rules = self.vulnerabilities.get(identifier, ())
        return any(rule.hides(place, purl) for place in places for rule in rules)

    def hides_secret(self, rule_id: str, *, target: str) -> bool:
        """Return whether a secret is left out."""
        return any(rule.hides(target, "") for rule in self.secrets.get(rule_id, ()))


def _by_id(rules: Iterable[IgnoreRule], now_s: float) -> dict[str, tuple[IgnoreRule, ...]]:
    found: dict[str, tuple[IgnoreRule, ...]] = {}
    for rule in rules:
        if rule.expires_s is None or rule.expires_s >= now_s:
            found[rule.id] = (*found.get(rule.id, ()), rule)
    return found
