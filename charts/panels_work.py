"""The dashboard's first rows: is what reports say true, what waits, what is done."""  # noqa: INP001 # charts/ is no package: nothing imports it but its tests

from __future__ import annotations

from collections.abc import Mapping, Sequence

from charts.panels import Panel, q, quantile, rate

_TRUE = 'sum(max by (state) (sluice_workloads{state="true",@}))'
_ALL = "sum(max by (state) (sluice_workloads{@}))"

WORK: Mapping[str, Sequence[Panel]] = {
    "Truth": (
        Panel(
            title="Coverage",
            about="Workloads whose reports are all true, of those that need reports.",
            queries=[q(f"{_TRUE} / ({_ALL} > 0)")],
            unit="percentunit",
            kind="stat",
            width=4,
            steps=((None, "red"), (0.9, "orange"), (0.98, "green")),
        ),
        Panel(
            title="Oldest fresh key",
            about="How long the oldest change waits for a worker.",
            queries=[q('max(sluice_queue_oldest_seconds{lane="fresh",@})')],
            unit="s",
            kind="stat",
            width=4,
            steps=((None, "green"), (60, "orange"), (600, "red")),
        ),
        Panel(
            title="Parked keys",
            about="Keys that used up their budget. `sluice queue parked` says why.",
            queries=[q("sum(max by (pool) (sluice_queue_dead{@}))")],
            kind="stat",
            width=4,
            steps=((None, "green"), (1, "orange")),
        ),
        Panel(
            title="Database",
            about="Age of the vulnerability database in use; empty: there is none.",
            queries=[q("max(sluice_database_age_seconds{@})")],
            unit="s",
            kind="stat",
            width=4,
            steps=((None, "green"), (86_400, "orange"), (259_200, "red")),
        ),
        Panel(
            title="Workers",
            about="Loops of workers whose lease has not ended.",
            queries=[q("max(sluice_workers_alive{@})")],
            kind="stat",
            width=4,
            steps=((None, "red"), (1, "green")),
        ),
        Panel(
            title="Leader",
            about="Watchers that lead: one must.",
            queries=[q("sum(sluice_watcher_leader{@})")],
            kind="stat",
            width=4,
            steps=((None, "red"), (1, "green"), (2, "red")),
        ),
        Panel(
            title="Workloads by state",
            about="Those that lack true reports stand under the reason: docs/status-page.md.",
            queries=[q("max by (state) (sluice_workloads{@})", "{{state}}")],
            stacked=True,
        ),
        Panel(
            title="Verified findings",
            about="How long ago the findings of images in use were verified.",
            queries=[
                q(
                    "max by (share) (sluice_image_verified_age_seconds{@})",
                    "{{share}} of the images",
                ),
            ],
            unit="s",
        ),
        Panel(
            title="Images in use",
            about="By whether their findings were verified within the reports' TTL.",
            queries=[q("max by (verified) (sluice_images{@})", "{{verified}}")],
            stacked=True,
        ),
        Panel(
            title="Vulnerabilities",
            about="Findings in all reports, by severity.",
            queries=[q("sum by (severity) (trivy_image_vulnerabilities{@@})", "{{severity}}")],
            width=12,
            stacked=True,
        ),
        Panel(
            title="Exposed secrets",
            about="Findings in all reports, by severity.",
            queries=[q("sum by (severity) (trivy_image_exposedsecrets{@@})", "{{severity}}")],
            width=12,
            stacked=True,
        ),
    ),
    "Queue": (
        Panel(
            title="Waiting",
            about="Entries by pool and lane.",
            queries=[q("max by (pool, lane) (sluice_queue_depth{@})", "{{pool}} {{lane}}")],
            stacked=True,
        ),
        Panel(
            title="Oldest",
            about="Wait of the oldest key by pool and lane.",
            queries=[
                q("max by (pool, lane) (sluice_queue_oldest_seconds{@})", "{{pool}} {{lane}}")
            ],
            unit="s",
        ),
        Panel(
            title="Running, delayed, parked",
            about="Keys that are claimed, that wait for a time, that used up their budget.",
            queries=[
                q("sum(max by (pool) (sluice_queue_running{@}))", "running"),
                q("sum(max by (pool) (sluice_queue_delayed{@}))", "delayed"),
                q("sum(max by (pool) (sluice_queue_dead{@}))", "parked"),
                q("max(sluice_queue_paused{@})", "paused"),
            ],
        ),
        Panel(
            title="Adds",
            about="What became of keys that were added; duplicates cost nothing.",
            queries=[
                q(rate("sluice_queue_adds_total", "how"), "{{how}}"),
                q("sum(rate(sluice_queue_claims_total{@}[$__rate_interval]))", "claims"),
                q("sum(rate(sluice_queue_deduplicated_total{@}[$__rate_interval]))", "no change"),
            ],
            unit="ops",
        ),
        Panel(
            title="Retries and parked runs",
            about="Failed runs that were charged to their key, by error class.",
            queries=[
                q(f"{rate('sluice_queue_retries_total', 'class')} > 0", "retried {{class}}"),
                q(f"{rate('sluice_queue_parks_total', 'class')} > 0", "parked {{class}}"),
            ],
            unit="ops",
        ),
        Panel(
            title="Given back, refused, repaired",
            about="Leases that ended, claims given back, late completions, entries that were lost.",
            queries=[
                q(
                    "sum(rate(sluice_queue_leases_expired_total{@}[$__rate_interval]))",
                    "lease ended",
                ),
                q(rate("sluice_queue_released_total", "why"), "given back: {{why}}"),
                q(rate("sluice_queue_refused_total", "what"), "refused {{what}}"),
                q(rate("sluice_queue_repairs_total", "found_by"), "repaired by {{found_by}}"),
            ],
            unit="ops",
        ),
    ),
    "Work": (
        Panel(
            title="Runs",
            about="Runs by pool and outcome.",
            queries=[
                q(rate("sluice_reconciles_total", "pool, outcome"), "{{pool}} {{outcome}}"),
            ],
            unit="ops",
            stacked=True,
        ),
        Panel(
            title="Time of a run",
            about="Half of the runs are shorter than p50, one of a hundred is longer than p99.",
            queries=[
                q(quantile(0.5, "sluice_reconcile_seconds", "pool"), "{{pool}} p50"),
                q(quantile(0.99, "sluice_reconcile_seconds", "pool"), "{{pool}} p99"),
            ],
            unit="s",
        ),
        Panel(
            title="Failures",
            about="Failed runs by reason, held ones included.",
            queries=[
                q(f"{rate('sluice_failures_total', 'pool, reason')} > 0", "{{pool}} {{reason}}")
            ],
            unit="ops",
        ),
        Panel(
            title="Images analysed and matched",
            about="An inventory pulls an image; a match asks the database about one.",
            queries=[
                q("sum(rate(sluice_inventories_total{@}[$__rate_interval]))", "inventories"),
                q("sum(rate(sluice_matches_total{@}[$__rate_interval]))", "matches"),
            ],
            unit="ops",
        ),
        Panel(
            title="Claims",
            about="Keys that workers took, and completions that came too late.",
            queries=[
                q(rate("sluice_claims_total", "pool"), "{{pool}}"),
                q(rate("sluice_completions_refused_total", "pool"), "{{pool}} refused"),
            ],
            unit="ops",
        ),
        Panel(
            title="Facts",
            about="What the ledger was told.",
            queries=[q(f"{rate('sluice_facts_total', 'kind')} > 0", "{{kind}}")],
            unit="ops",
        ),
    ),
}
