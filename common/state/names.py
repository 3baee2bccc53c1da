"""Every Redis name: what it is, who owns it, how it is bounded.

rq's own keys keep rq's names (`rq:job:…`, `rq:queue:…`), so that its tools work; ours begin with
`sluice:<cluster>:`. Job ids begin with the cluster too, so that clusters can share one Redis.
`TABLE` is the source of docs/limits.md. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.model.key import WorkKey, parse_key

# The pools of `common.model.key.pool_of`; `lib.lua` knows their order.
POOLS: tuple[str, ...] = ("reconcile", "scan", "rematch")
RQ = "rq"  # rq's own prefix (RQ_KEY_PREFIX is not honoured: the scripts know this layout)

_CLUSTER = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SIMPLE = re.compile(r"[A-Za-z0-9/-]+")
_ODD = re.compile(r"[^A-Za-z0-9-]")
_ESCAPED = re.compile(r"__|(?:_[0-9a-f]{2})+")

# About 120 bytes a fact: 24 MB at most. A day of a busy cluster, a week of a calm one.
LEDGER_MAX_FACTS = 200_000
# An image that no workload uses any more is remembered this long: a rollback finds it again.
UNUSED_IMAGE_TTL_S = 7 * 86_400
# As long as a report lives by default: then a tag that never ran here is asked for again.
RESOLUTION_TTL_S = 86_400
# Longer than it takes until another database, or settings, ask other questions.
HIDDEN_TTL_S = 7 * 86_400
# While a layer counts as known, nobody analyses it, however often images with it come and go. The
# match server keeps it for longer: it forgets nothing.
LAYER_TTL_S = 30 * 86_400
# Renewed by every look-up. After it an image may get a second record, which costs a pull.
IDENTITY_TTL_S = 30 * 86_400
# Longer than images wait for one another, or for a registry to recover.
DOCUMENTS_TTL_S = 3600
# Claims are reaped when their worker's lease ends, after seconds. This is for claims whose lease
# somebody deleted: without it they would stay for ever.
CLAIMS_TTL_S = 86_400
# Who led is told for a day after the watcher was last heard; judged by its age, not by its absence.
LEADER_TTL_S = 86_400
# Where rq expects an expiry: ten years, so that its clean-ups (`rq info` runs them) leave us alone.
RQ_HORIZON_S = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One row of docs/limits.md."""

    name: str
    owner: str
    holds: str
    bound: str


TABLE: tuple[Bound, ...] = (
    Bound(
        name="rq:job:<id>",
        owner="queue scripts",
        holds="state of one key that is queued, running, delayed or parked",
        bound="one per key that is not at rest; deleted by the completion",
    ),
    Bound(
        name="rq:queue:<q>, rq:wip:<q>, rq:scheduled:<q>, rq:failed:<q>",
        owner="queue scripts",
        holds="ids of the keys in each state, in rq's own places",
        bound="one entry per key; stale list entries are dropped when they reach the front",
    ),
    Bound(
        name="rq:worker:<name>",
        owner="worker",
        holds="rq's registration of a live loop",
        bound="one per loop; TTL 480 s, renewed by the heartbeat",
    ),
    Bound(
        name="sluice:<c>:rows, :want",
        owner="watcher, fenced",
        holds="row and fingerprint of a workload, and of what has a report of the cluster's",
        bound="one per workload, image name that runs (if wanted) and cluster; deleted when gone",
    ),
    Bound(
        name="sluice:<c>:seen",
        owner="watcher, fenced",
        holds="how far the leading watcher has read each resource",
        bound="one field per followed resource and target namespace",
    ),
    Bound(
        name="sluice:<c>:leader",
        owner="watcher, fenced",
        holds="which watcher leads, since when, and when it was last heard",
        bound="one; renewed every second, TTL 1 day",
    ),
    Bound(
        name="sluice:<c>:overlay",
        owner="watcher, fenced",
        holds="the settings that trivy-operator's ConfigMaps say, where from, and what is wrong",
        bound="one; three ConfigMaps have 3 MB at most",
    ),
    Bound(
        name="sluice:<c>:settled",
        owner="completion script",
        holds="what the last converged run of a key settled",
        bound="one per workload and cluster key; deleted by the run that finds it gone",
    ),
    Bound(
        name="sluice:<c>:image:<key>",
        owner="completion script",
        holds="inventory, match and failure of one image",
        bound="one per image in use; 7 days after the last use",
    ),
    Bound(
        name="sluice:<c>:users:<key>, :uses:<workload>",
        owner="look-up and completion scripts",
        holds="which workloads use which images, both ways",
        bound="one field per use; released when the workload changes or is gone",
    ),
    Bound(
        name="sluice:<c>:resolved:<hash>",
        owner="worker",
        holds="the digest of a workload's reference, or configuration, that no kubelet tells",
        bound="one per such workload and reference (TTL 1 day) or configuration (30 days)",
    ),
    Bound(
        name="sluice:<c>:resolve-due",
        owner="worker, watcher",
        holds="workloads with such a reference, by when the registry must be asked again",
        bound="one per such workload; dropped by the sweep that queues it",
    ),
    Bound(
        name="sluice:<c>:hidden:<hash>",
        owner="worker",
        holds="which findings of an image an ignore policy hides, as numbers",
        bound="one per policy and findings of an image; TTL 7 days",
    ),
    Bound(
        name="sluice:<c>:troubles",
        owner="worker",
        holds="workloads that carry a ScanFailed Event and no ScanRecovered yet",
        bound="one per such workload; cleared when it converges or is gone",
    ),
    Bound(
        name="sluice:<c>:circuits",
        owner="circuit script",
        holds="sources that failed and have not answered since",
        bound="one per such source; forgotten a day after it was last asked",
    ),
    Bound(
        name="sluice:<c>:waiters:<key>",
        owner="look-up and completion scripts",
        holds="workloads to wake when the key's run ends",
        bound="one member per waiter; emptied by every end; TTL 7 days",
    ),
    Bound(
        name="sluice:<c>:waking",
        owner="completion, reap and database scripts",
        holds="keys that are queued by the next calls, 1,000 each: more would hold Redis up",
        bound="one entry per waiter, user or image of what just ended; empty after seconds",
    ),
    Bound(
        name="sluice:<c>:layer:<digest>/<options>",
        owner="layer script",
        holds="that a layer was analysed, or which image's run is analysing it",
        bound="one per layer; 30 days after an image was last analysed that has it",
    ),
    Bound(
        name="sluice:<c>:layer-waiters:<key>",
        owner="layer and reap scripts",
        holds="images to wake when the run of an image ends that holds layers of theirs",
        bound="one member per waiter; emptied by every end; TTL 1 day",
    ),
    Bound(
        name="sluice:<c>:same:<key>",
        owner="identity script",
        holds="under which of its digests an image has its record",
        bound="one per digest in use, and one per manifest; 30 days after it was last looked up",
    ),
    Bound(
        name="sluice:<c>:documents:<key>",
        owner="worker, layer script",
        holds="manifest and index of an image whose run waits or failed; never its configuration",
        bound="one per such image, 1 MB at most; deleted when it is analysed; TTL 1 hour",
    ),
    Bound(
        name="sluice:<c>:images",
        owner="look-up script",
        holds="every image key that has a record or a user, by its last use",
        bound="one per image; forgotten with the record",
    ),
    Bound(
        name="sluice:<c>:budget:<registry>, :pulls:<registry>, :refused:<registry>",
        owner="worker",
        holds="what is left of a registry's budget, what is pulled from it, and who waits for it",
        bound="only for registries with a limit: one, one per pull and one per image that waits; "
        "TTL: until the budget is full, the pulls are over, an hour",
    ),
    Bound(
        name="sluice:<c>:ledger",
        owner="every script that changes state",
        holds="facts, one stream entry each",
        bound=f"MAXLEN ~ {LEDGER_MAX_FACTS:,} facts",
    ),
    Bound(
        name="sluice:<c>:counts",
        owner="every script that changes state",
        holds="number of facts of each kind since the flush; adds, retries, … by what they were",
        bound="one field per fact kind, and one per word and error class (common/model/counts.py)",
    ),
    Bound(
        name="sluice:<c>:leases, :claims:<worker>, :running",
        owner="claim, heartbeat and reap scripts",
        holds="who may work on what until when",
        bound="one per live loop and claim; reaped when the lease ends",
    ),
    Bound(
        name="sluice:<c>:probe:<pool>",
        owner="completion script",
        holds="when a parked key is tried again",
        bound="one per parked key",
    ),
    Bound(
        name="sluice:<c>:wake:<pool>",
        owner="queue scripts",
        holds="one token per wake-up of an idle loop",
        bound="64 entries",
    ),
    Bound(
        name="sluice:<c>:heads, :token, :fence, :epoch, :database, :trivy, :control, :paused",
        owner="queue scripts, watcher, matcher, canary, operator",
        holds="single values",
        bound="one each",
    ),
)


class Names:
    """The names of one cluster's key space."""

    __slots__ = ("cluster", "job_prefix", "prefix")

    def __init__(self, cluster: str) -> None:
        """Raise ValueError unless `cluster` is a DNS label of at most 63 characters."""
        if _CLUSTER.fullmatch(cluster) is None:
            raise ValueError(
                f"cluster name {cluster[:80]!r}: 1 to 63 of a-z, 0-9 and -, not - at an end"
            )
        self.cluster = cluster
        self.prefix = f"sluice:{cluster}:"
        self.job_prefix = f"{cluster}__"

    def queue(self, pool: str, lane: int) -> str:
        """Return the name of an rq queue, without rq's prefix."""
        return f"{self.cluster}-{pool}-bulk" if lane else f"{self.cluster}-{pool}"

    def rq(self, kind: str, pool: str, lane: int) -> str:
        """Return rq's key of `kind` (queue, wip, scheduled, failed) for a lane."""
        return f"{RQ}:{kind}:{self.queue(pool, lane)}"

    def job_id(self, key: WorkKey | str) -> str:
        """Return the rq job id: `/` becomes `__`, other bytes outside [A-Za-z0-9-] `_hh`."""
        text = str(key)
        if _SIMPLE.fullmatch(text):
            return self.job_prefix + text.replace("/", "__")
        return self.job_prefix + _ODD.sub(_escape, text)

    def job(self, key: WorkKey | str) -> str:
        """Return the Redis key of the job hash."""
        return f"{RQ}:job:{self.job_id(key)}"

    def key_of(self, job_id: str) -> WorkKey:
        """Return the key whose id this is. Raises ValueError for an id that is not ours.

        Nor is another spelling of an id: what was claimed under it would be ended under this one.
        """
        if not job_id.startswith(self.job_prefix):
            raise ValueError(f"job {job_id[:256]!r} is not of cluster {self.cluster}")
        escaped = job_id[len(self.job_prefix) :]
        plain = escaped.replace("__", "/")
        key = parse_key(_ESCAPED.sub(_unescape, escaped) if "_" in plain else plain)
        if self.job_id(key) != job_id:
            raise ValueError(f"job {job_id[:256]!r} is not how cluster {self.cluster} spells {key}")
        return key

    def fixed_keys(self) -> list[str]:
        """Return the KEYS block that every script gets; `lib.lua` documents the same order."""
        lanes = [
            self.rq(kind, pool, lane)
            for pool in POOLS
            for lane in (0, 1)
            for kind in ("queue", "wip", "scheduled", "failed")
        ]
        per_pool = [self.own(f"{kind}:{pool}") for pool in POOLS for kind in ("wake", "probe")]
        ours = (
            "paused heads token counts ledger leases running rows want settled fence images waking "
            "database"
        )
        return [
            *lanes,
            *per_pool,
            f"{RQ}:queues",
            f"{RQ}:suspended",
            *(self.own(name) for name in ours.split()),
        ]

    def own(self, name: str) -> str:
        """Return one of our own names: `own("want")`, `own("wake:scan")`."""
        return self.prefix + name


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    return "__" if char == "/" else "".join(f"_{byte:02x}" for byte in char.encode())


def _unescape(found: re.Match[str]) -> str:
    text = found.group()
    return "/" if text == "__" else bytes.fromhex(text.replace("_", "")).decode()
