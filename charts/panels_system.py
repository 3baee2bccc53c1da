"""The dashboard's other rows: sources, writes, the watch, memory and Redis."""  # noqa: INP001 # charts/ is no package: nothing imports it but its tests

from __future__ import annotations

from collections.abc import Mapping, Sequence

from charts.panels import Panel, per_process, q, rate

SYSTEM: Mapping[str, Sequence[Panel]] = {
    "Sources": (
        Panel(
            title="Sources in trouble",
            about="2 open, 1 probing, 0 failing and still asked; empty: all are well.",
            queries=[q("max by (source) (sluice_circuit_state{@})", "{{source}}")],
        ),
        Panel(
            title="Held runs and circuits",
            about="Runs that failed by a source's fault, and circuits that opened and closed.",
            queries=[
                q(rate("sluice_queue_holds_total", "source_kind"), "held by {{source_kind}}"),
                q(rate("sluice_circuit_changes_total", "state"), "circuits {{state}}"),
            ],
            unit="ops",
        ),
        Panel(
            title="Vulnerability database",
            about="Age of the database, and of the last look for a newer one.",
            queries=[
                q("max(sluice_database_age_seconds{@})", "age"),
                q("max(sluice_database_checked_age_seconds{@})", "looked for a newer one"),
            ],
            unit="s",
        ),
    ),
    "Reports written": (
        Panel(
            title="Writes",
            about="Reports written, by how; a calm cluster writes none.",
            queries=[q(rate("sluice_report_writes_total", "how"), "{{how}}")],
            unit="ops",
            width=12,
        ),
        Panel(
            title="Reports and workloads",
            about="Reports that the watcher sees, and workloads that have a row.",
            queries=[
                q("max(sluice_watcher_reports{@})", "reports"),
                q("max(sluice_watcher_workloads{@})", "workloads"),
            ],
            width=12,
        ),
    ),
    "Watch": (
        Panel(
            title="Events",
            about="Watch events and listed objects by resource.",
            queries=[q(rate("sluice_watcher_events_total", "resource"), "{{resource}}")],
            unit="ops",
        ),
        Panel(
            title="Received",
            about="Bytes from the API server by resource.",
            queries=[q(rate("sluice_watcher_received_bytes_total", "resource"), "{{resource}}")],
            unit="Bps",
        ),
        Panel(
            title="Silence",
            about="Since the API server said anything; bookmarks come every minute.",
            queries=[
                q("max by (resource) (sluice_watcher_last_event_age_seconds{@})", "{{resource}}")
            ],
            unit="s",
        ),
        Panel(
            title="From events to keys",
            about="Keys that the folds let through, those whose row was sent before, those sent.",
            queries=[
                q("sum(rate(sluice_watcher_keys_passed_total{@}[$__rate_interval]))", "passed"),
                q(
                    "sum(rate(sluice_watcher_keys_suppressed_total{@}[$__rate_interval]))",
                    "as before",
                ),
                q(rate("sluice_watcher_keys_sent_total", "result"), "sent: {{result}}"),
            ],
            unit="ops",
        ),
        Panel(
            title="Streams",
            about="Streams that failed, what was unusual in one, and what a server could not do.",
            queries=[
                q(rate("sluice_watcher_stream_failures_total", "resource"), "{{resource}} failed"),
                q(f"{rate('sluice_watcher_stream_notes_total', 'note')} > 0", "{{note}}"),
                q(
                    f"{rate('sluice_watch_fallbacks_total', 'resource')} > 0",
                    "{{resource}} fallback",
                ),
            ],
            unit="ops",
        ),
        Panel(
            title="Backlog",
            about="Changes that were not folded yet, keys that Redis has not taken yet.",
            queries=[
                q("max(sluice_watcher_inbox_changes{@})", "changes"),
                q("max(sluice_watcher_pending_keys{@})", "keys"),
            ],
        ),
        Panel(
            title="Sweeps",
            about="Sweeps over everything and what they queued: in a calm cluster nothing.",
            queries=[
                q(rate("sluice_watcher_sweeps_total", "result"), "{{result}}"),
                q("sum(rate(sluice_watcher_sweep_enqueued_total{@}[$__rate_interval]))", "queued"),
            ],
            unit="ops",
        ),
        Panel(
            title="Election",
            about="Terms that began, and requests about the Lease that failed.",
            queries=[
                q("sum(rate(sluice_watcher_terms_total{@}[$__rate_interval]))", "terms"),
                q(
                    "sum(rate(sluice_watcher_lease_failures_total{@}[$__rate_interval]))",
                    "failures",
                ),
            ],
            unit="ops",
        ),
        Panel(
            title="Objects",
            about="Objects that exist, as far as the watcher knows.",
            queries=[q("max by (resource) (sluice_watcher_objects{@})", "{{resource}}")],
        ),
    ),
    "Resources": (
        Panel(
            title="Memory",
            about="Resident memory of our Python processes; Trivy's are not in it.",
            queries=[
                q(per_process("process_resident_memory_bytes"), "{{component}} {{pod}}{{process}}")
            ],
            unit="bytes",
        ),
        Panel(
            title="CPU",
            about="Cores of our Python processes; Trivy's are not in it.",
            queries=[
                q(
                    "rate(process_cpu_seconds_total{@}[$__rate_interval]) * on (instance, process) "
                    "group_left (component) max by (instance, process, component) "
                    "(sluice_build_info{@})",
                    "{{component}} {{pod}}{{process}}",
                )
            ],
        ),
        Panel(
            title="Versions",
            about="What runs: two versions stand here during an upgrade only.",
            queries=[
                q(
                    "count by (component, version) (sluice_build_info{@})",
                    "{{component}} {{version}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            title="Redis' memory",
            about="Beyond the limit Redis refuses adds.",
            queries=[
                q("max(sluice_redis_memory_used_bytes{@})", "used"),
                q("max(sluice_redis_memory_max_bytes{@}) > 0", "limit"),
            ],
            unit="bytes",
        ),
        Panel(
            title="Redis' commands",
            about="Commands of all clients, and keys that it evicted: none may be.",
            queries=[
                q("sum(rate(sluice_redis_commands_total{@}[$__rate_interval]))", "commands"),
                q(
                    "sum(rate(sluice_redis_evicted_keys_total{@}[$__rate_interval]))",
                    "evicted keys",
                ),
            ],
            unit="ops",
        ),
        Panel(
            title="Redis' answers",
            about="Time of one look at all numbers of the queue, and whether it answers and saves.",
            queries=[
                q("max(sluice_redis_read_seconds{@})", "time of a look"),
                q("max(sluice_redis_up{@})", "answers"),
                q("max(sluice_redis_persistence_ok{@})", "saves"),
            ],
            unit="s",
        ),
    ),
}
