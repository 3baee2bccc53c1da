"""Guards of the product, each taken out alone, and the scene whose oracle must notice.

A torture that never failed proves nothing. Each mutant is played over a copy of the tree in which
one text was replaced; docs/torture.md shows this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Oracle: TypeAlias = Literal["lost", "doubled", "follow_ups", "stale", "promises"]

_LUA = "common/queue/lua"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One guard less."""

    name: str
    file: str
    guard: str  # the text that is there, once
    instead: str
    breaks: str  # what is no longer kept; a sentence for the docs
    scene: str
    oracle: Oracle  # which one must find it


MUTANTS = (
    Mutant(
        name="any token ends a claim",
        file=f"{_LUA}/complete.lua",
        guard="if h[1] ~= d.token then",
        instead="if not h[1] then",
        breaks="A worker that slept past its lease ends the claim of the one that took over.",
        scene="a-worker-sleeps",
        oracle="doubled",
    ),
    Mutant(
        name="a change during a run is forgotten",
        file=f"{_LUA}/adding.lua",
        guard="    call('HSET', C.job .. id, 's_dirty', lane)\n    return 'dirty'",
        instead="    return 'dirty'",
        breaks="The run that was on its way had read the older version.",
        scene="changes-during-a-run",
        oracle="lost",
    ),
    Mutant(
        name="a follow-up run keeps its mark",
        file=f"{_LUA}/complete.lua",
        guard="  if dirty then\n    unown(d.id)\n    forgive(d.id)",
        instead=(
            "  if dirty then\n"
            "    call('HDEL', C.job .. d.id, 's_token', 'worker_name')\n"
            "    forgive(d.id)"
        ),
        breaks="One change leads to one run after another, for ever.",
        scene="changes-during-a-run",
        oracle="follow_ups",
    ),
    Mutant(
        name="a key that runs is claimed from its list",
        file=f"{_LUA}/claiming.lua",
        guard="        if not h[3] then return id, h, text end",
        instead="        if true then return id, h, text end",
        breaks="`rq requeue` of a running key runs it twice at once.",
        scene="strangers-meddle",
        oracle="doubled",
    ),
    Mutant(
        name="living workers are reaped",
        file=f"{_LUA}/reap.lua",
        guard="call('ZRANGEBYSCORE', K.leases, '-inf', seconds(now))",
        instead="call('ZRANGEBYSCORE', K.leases, '-inf', '+inf')",
        breaks="What runs is handed to somebody else.",
        scene="changes-during-a-run",
        oracle="doubled",
    ),
    Mutant(
        name="tokens follow the counter alone",
        file=f"{_LUA}/claiming.lua",
        guard=(
            "  local token = tonumber(clock[1]) * 1e6 + tonumber(clock[2])\n"
            "  local last = whole(call('GET', K.token))\n"
        ),
        instead="  local last = whole(call('GET', K.token))\n  local token = last or 0\n",
        breaks="After a lost log tail a token is given out twice, and a lost claim ends another.",
        scene="redis-loses-its-last-second",
        oracle="doubled",
    ),
    Mutant(
        name="a hash that says queued is believed",
        file=f"{_LUA}/adding.lua",
        guard="if stands(q, id, whole(h[4])) then return 'duplicate' end",
        instead="if true then return 'duplicate' end",
        breaks="A key whose list was deleted is a duplicate for ever.",
        scene="strangers-meddle",
        oracle="lost",
    ),
    Mutant(
        name="no fence",
        file=f"{_LUA}/fencing.lua",
        guard="if fence < current then",
        instead="if false then",
        breaks="A watcher that was deposed overwrites rows.",
        scene="strangers-meddle",
        oracle="promises",
    ),
    Mutant(
        name="completions are refused at maxmemory",
        file="common/state/scripts.py",
        guard='        "complete",\n',
        instead="",
        breaks="A full Redis stays full: nothing that runs can end.",
        scene="redis-is-full",
        oracle="lost",
    ),
    Mutant(
        name="a heartbeat renews for a moment only",
        file="worker/lease.py",
        guard="self._leases.beat(self._worker, lease_s=self.length_s)",
        instead="self._leases.beat(self._worker, lease_s=0.001)",
        breaks="Nobody is sure enough of its own lease to bury the dead, whose keys stay claimed.",
        scene="workers-die",
        oracle="lost",
    ),
    Mutant(
        name="who is back first buries the others",
        file="worker/lease.py",
        guard="if self._monotonic_s() >= self._reap_from_s:",
        instead="if True:",
        breaks="After an outage of Redis, living workers lose their claims to the fastest one.",
        scene="redis-dies",
        oracle="doubled",
    ),
    Mutant(
        name="a batch is run on after its lease",
        file="worker/loop.py",
        guard="if batch.refused or not self._lease.held():",
        instead="if batch.refused:",
        breaks="A worker that slept between claim and run begins what another one runs.",
        scene="a-worker-sleeps",
        oracle="doubled",
    ),
    Mutant(
        name="claims are never compared",
        file="worker/loop.py",
        guard="if now_s >= self._compare_at_s:",
        instead="if False:",
        breaks="A claim whose end Redis lost is held by a worker that lives, for ever.",
        scene="redis-loses-its-last-second",
        oracle="lost",
    ),
    Mutant(
        name="nobody asks whose the key is",
        file="worker/write.py",
        guard="                _require(mine, draft.shown)",
        instead="                pass",
        breaks="A run that slept before its read overwrites a newer report.",
        scene="a-writer-sleeps",
        oracle="stale",
    ),
    Mutant(
        name="it is asked once, and not after a conflict",
        file="worker/write.py",
        guard="            if not isinstance(step, Keep):",
        instead="            if not isinstance(step, Keep) and _ == 0:",
        breaks="A run that slept before its write is refused, reads again, and overwrites.",
        scene="a-writer-sleeps",
        oracle="stale",
    ),
    Mutant(
        name="no precondition",
        file="common/kube/resources.py",
        guard='        reply = self._write("PUT", report_path(kind, namespace, name), body)',
        instead=(
            "        now = self.get(kind, namespace, name)\n"
            '        metadata = {**body["metadata"], "resourceVersion": now.resource_version}\n'
            '        body = {**body, "metadata": metadata}\n'
            '        reply = self._write("PUT", report_path(kind, namespace, name), body)'
        ),
        breaks="A run that slept after it had asked overwrites a newer report.",
        scene="a-writer-sleeps",
        oracle="stale",
    ),
    Mutant(
        name="a later generation's report is overwritten",
        file="worker/difference.py",
        guard="if stored.stamp is not None and is_newer(stored.stamp.epoch, target.epoch):",
        instead="if False:",
        breaks="Workers of two releases rewrite each other's reports.",
        scene="two-generations",
        oracle="stale",
    ),
    Mutant(
        name="the older generation works on",
        file="common/state/epoch.py",
        guard="return published.number == 0 or published.digest == self.digest()",
        instead="return True",
        breaks="Keys are worked under settings that are not meant any more.",
        scene="two-generations",
        oracle="promises",
    ),
    Mutant(
        name="stamps take the published number",
        file="common/state/epoch.py",
        guard="if published.digest == self.digest():",
        instead="if True:",
        breaks="Old content is stored under the new number, and nothing corrects it.",
        scene="two-generations",
        oracle="stale",
    ),
)


def table() -> str:
    """Return the table of the docs, in Markdown."""
    head = ("guard taken out", "where", "what it breaks", "scene", "caught by")
    rows = [
        (each.name, f"`{each.file}`", each.breaks, f"`{each.scene}`", SAID[each.oracle])
        for each in MUTANTS
    ]
    lines = [" | ".join(row) for row in (head, tuple("---" for _ in head), *rows)]
    return "\n".join(f"| {line} |" for line in lines)


SAID: dict[str, str] = {
    "lost": "lost keys",
    "doubled": "runs at the same time",
    "follow_ups": "number of runs",
    "stale": "stale writes",
    "promises": "broken promises",
}
