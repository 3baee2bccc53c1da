"""The audit log counts each request of the product once."""

from __future__ import annotations

from pathlib import Path

import orjson

from sandbox import node_files
from sandbox.node_audit import read_audit


def line(verb: str, stage: str, resource: str = "pods", **more: object) -> bytes:
    event = {
        "kind": "Event",
        "level": "Metadata",
        "stage": stage,
        "verb": verb,
        "userAgent": "kube-sluice/0.1",
        "objectRef": {"resource": resource},
        "responseStatus": {"metadata": {}, "code": 200},
        **more,
    }
    return orjson.dumps(event) + b"\n"


def test_a_watch_counts_when_it_begins_and_not_again_when_it_ends(tmp_path: Path) -> None:
    """It may last longer than the measurement."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(line("watch", "ResponseStarted") + line("watch", "ResponseComplete"))
    assert [one.verb for one in read_audit(log)] == ["watch"]


def test_other_requests_count_when_they_are_answered(tmp_path: Path) -> None:
    """A panic leaves another stage; it was not answered."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(line("create", "ResponseComplete", "events") + line("get", "Panic"))
    (only,) = read_audit(log)
    assert (only.verb, only.resource, only.code) == ("create", "events", 200)
    assert only.user_agent == "kube-sluice/0.1"


def test_a_request_for_no_object_has_no_resource(tmp_path: Path) -> None:
    """`/version` and discovery have no objectRef."""
    log = tmp_path / "audit.jsonl"
    log.write_bytes(
        line("get", "ResponseComplete", objectRef=None).replace(b'"objectRef":null,', b"")
    )
    (only,) = read_audit(log)
    assert only.resource == ""


def test_a_line_that_is_still_written_waits(tmp_path: Path) -> None:
    """The API server appends while we read."""
    log = tmp_path / "audit.jsonl"
    whole = line("get", "ResponseComplete")
    log.write_bytes(whole + whole[:20])
    assert len(read_audit(log)) == 1


def test_no_log_means_no_request(tmp_path: Path) -> None:
    """The file comes with the first one."""
    assert read_audit(tmp_path / "audit.jsonl") == []


def test_only_the_product_is_audited() -> None:
    """A kubelet's thousands of requests would cost the API server what we want to measure."""
    policy = orjson.loads(node_files.audit_policy())
    first, rest = policy["rules"]
    assert first == {"level": "Metadata", "users": ["kube-sluice"]}
    assert rest == {"level": "None"}
    assert node_files.USERS["product.conf"][0] == "kube-sluice"
