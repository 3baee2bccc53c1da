"""Values for tests of the status page: what is seen of a cluster at one instant."""

from __future__ import annotations

from typing import Any

from common.model.facts import Fact
from common.overview.view import Overview

EVIL = '<script>alert("1")</script>&\'"><img src=x onerror=alert(1)>'
AT_S = 1_795_590_000.0  # 2026-11-25T07:00:00Z


def shown(**changes: Any) -> dict[str, Any]:
    """Return the document of a calm cluster, but for the changes."""
    lane = {"queued": 0, "oldest_age_s": 0.0}
    given: dict[str, Any] = {
        "cluster": "abcd1234",
        "empty": False,
        "coverage": {"workloads": 3000, "true": 2999, "share": 0.9997},
        "lacking": [],
        "failing": {},
        "queue": {
            "reconcile": {"fresh": lane, "bulk": {"queued": 120, "oldest_age_s": 61.0}},
            "scan": {"fresh": lane, "bulk": lane},
        },
        "pools": {
            "reconcile": {"running": 16, "delayed": 2, "dead": 0},
            "scan": {"running": 1, "delayed": 0, "dead": 0},
        },
        "paused": False,
        "running": 17,
        "delayed": 2,
        "dead": 0,
        "failures": [],
        "dead_reasons": {},
        "circuits": [],
        "database": {"version": "2026-11-25T06:00:00Z", "age_s": 3_600.0, "checked_age_s": 90.0},
        "trivy": {"serving": "0.76.1", "trusted": "0.76.0"},
        "verified": {"images": 40, "never": 0, "oldest_age_s": 5_400.0},
        "epoch": 1,
        "generation": {"number": 1, "digest": "d1", "version": "0.1.0", "standing_back": []},
        "settings": {"from_configmaps": 0, "faults": [], "meanwhile": "", "notices": 0},
        "last_event_age_s": 4.2,
        "watcher": {
            "alive": True,
            "leader": "host_7_0f",
            "since_s": 7200.0,
            "heard_s": 0.4,
        },
        "workers": ["w1", "w2"],
        "problems": [],
    }
    return {**given, **changes}


def overview(**changes: Any) -> Overview:
    """Return an overview of a calm cluster; `document` changes parts of the document."""
    document = shown(**changes.pop("document", {}))
    given: dict[str, Any] = {"document": document, "parked": [], "lacking": {}, "facts": []}
    return Overview(**{**given, **changes})


def parked(name: str = "web", **changes: Any) -> dict[str, Any]:
    """Return a dead letter as the document shows it."""
    given: dict[str, Any] = {
        "key": f"workload/Pod/shop/{name}",
        "state": "parked",
        "reason": "TooLarge",
        "message": "request is too large",
        "attempts": 3,
        "class": "TooLarge",
        "source": "",
        "due_in_s": 7_500.0,
    }
    return {**given, **changes}


def circuit(**changes: Any) -> dict[str, Any]:
    """Return a registry that is left alone, as the document shows it, but for the changes."""
    given: dict[str, Any] = {
        "source": "registry/quay.io",
        "state": "open",
        "failures": 12,
        "since_s": 200.0,
        "next_s": 40.0,
        "reason": "RegistryUnavailable",
        "message": "connection refused",
        "idle": False,
    }
    return {**given, **changes}


def running(name: str = "web", **changes: Any) -> dict[str, Any]:
    """Return a key that is worked on, as pages show it, but for the changes."""
    given: dict[str, Any] = {
        "key": f"workload/Pod/shop/{name}",
        "state": "running",
        "lane": "fresh",
        "attempts": 0,
        "crashes": 0,
        "worker": "w1",
        "reason": "",
        "message": "",
        "class": "",
        "source": "",
        "age_s": 3.0,
        "due_in_s": None,
    }
    return {**given, **changes}


def parked_image(reference: str) -> dict[str, Any]:
    """Return an image that cannot be scanned, as its workloads name it."""
    key = f"image/sha256:{'ab' * 32}/linux-amd64/0f0f"
    return parked(key=key, reference=reference, users=2, reason="ImageNotFound")


def fact(number: int) -> Fact:
    """Return the fact of that second."""
    return Fact(
        kind="written",
        key="workload/Pod/shop/web",
        data={"report": f"VulnerabilityReport/shop/r{number}", "how": "created"},
        at=AT_S + number,
    )
