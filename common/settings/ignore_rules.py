"""How the text of Trivy's ignore files is read, plain or YAML; see `formats` for the promise.

A plain line that Trivy warns of and drops (a date that is none) is a fault here: a rule that is
believed to hold, and does not, is worse than a process that says so and ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import yaml

from common.model import doublestar
from common.model.errors import shorten
from common.model.ignore import IgnoreRule, IgnoreRules
from common.model.purl import parse_purl
from common.settings.formats import Format

_LISTS = ("vulnerabilities", "misconfigurations", "secrets", "licenses")
# No line of a plain file begins so: no identifier is such a word with a colon.
_YAML = re.compile(rf"(?m)^[{{'\" ]*(?:{'|'.join(_LISTS)})['\"]?\s*:")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def is_yaml(text: str) -> bool:
    """Return whether the text is of the YAML form."""
    return _YAML.search(text) is not None


def read_ignore_rules(text: str) -> IgnoreRules:
    """Return the rules; raises ValueError that names the line or the identifier."""
    return _from_yaml(text) if is_yaml(text) else _from_lines(text)


def _from_lines(text: str) -> IgnoreRules:
    """Read one identifier a line: of vulnerabilities and secrets alike, as Trivy does."""
    rules = tuple(
        _from_fields(fields, number)
        for number, line in enumerate(text.splitlines(), start=1)
        if (fields := line.split()) and not fields[0].startswith("#")
    )
    return IgnoreRules(vulnerabilities=rules, secrets=rules)


def _from_fields(fields: list[str], number: int) -> IgnoreRule:
    day = next((one.removeprefix("exp:") for one in fields[1:] if one.startswith("exp:")), None)
    if day is None:
        return IgnoreRule(id=fields[0])
    if _DAY.fullmatch(day) is None:
        raise ValueError(f"has {shorten(day)!r} in line {number}; write exp:2027-01-31")
    return IgnoreRule(id=fields[0], expires_s=_moment_s(day, f"in line {number}"))


def _from_yaml(text: str) -> IgnoreRules:
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"is no YAML{where}; write vulnerabilities: and secrets: lists") from exc
    if not isinstance(document, Mapping):
        # Of the wrong type, yet a reader has one kind of fault.
        raise ValueError("is no YAML map; write vulnerabilities: and secrets: lists")
    for kind in _LISTS:  # also those of no concern to images: what is wrong there is wrong
        _rules(document, kind)
    return IgnoreRules(
        vulnerabilities=_rules(document, "vulnerabilities"), secrets=_rules(document, "secrets")
    )


def _rules(document: Mapping[object, object], kind: str) -> tuple[IgnoreRule, ...]:
    listed = document.get(kind)
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        raise ValueError(f"has {kind} that are no list of maps; write - id: CVE-2023-1234")
    return tuple(_rule(one) for one in listed)


def _rule(entry: Mapping[object, object]) -> IgnoreRule:
    name = _id(entry.get("id"))
    paths, purls = _texts(entry, "paths", name), _texts(entry, "purls", name)
    for path in paths:
        if not doublestar.is_valid(path):
            raise ValueError(f"has the path {shorten(path)!r} of {shorten(name)}, no pattern")
    for purl in purls:
        if parse_purl(purl) is None:
            raise ValueError(f"has {shorten(purl)!r} of {shorten(name)}, no package URL")
    expiry = entry.get("expired_at")
    return IgnoreRule(
        id=name,
        paths=paths,
        purls=purls,
        expires_s=None if expiry is None else _moment_s(expiry, f"of {shorten(name)}"),
    )


def _id(value: object) -> str:
    """Return an identifier. A list is none: by aliases a few lines of YAML stand for gigabytes."""
    if value is None:
        return ""
    if isinstance(value, list | Mapping | set):
        raise ValueError("has an id that is no text; write - id: CVE-2023-1234")
    return str(value)


def _texts(entry: Mapping[object, object], key: str, name: str) -> tuple[str, ...]:
    value = entry.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"has {key} of {shorten(name)} that are no list of texts")
    return tuple(value)


def _moment_s(value: object, where: str) -> float:
    """Return the moment in Unix seconds: a day's beginning, UTC where no zone is told."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"has {shorten(str(value))!r} {where}; write 2027-01-31") from exc
    shown = "a list" if isinstance(value, list | Mapping | set) else shorten(str(value))
    raise ValueError(f"has {shown!r} {where}; write 2027-01-31")


IGNORE_RULES = Format(shown="an ignore file's text", read=read_ignore_rules)
