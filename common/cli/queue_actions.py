"""What `sluice queue` does to keys and to the whole queue, and what it says about it."""

from __future__ import annotations

from common.cli.command import Context
from common.model.key import ImageKey, MatchKey, WorkKey, WorkloadKey, image_of
from common.ops.exit_status import DONE, FAILED
from common.overview.tables import Tables
from common.overview.words import age

PAUSED = "the queue is paused, so nothing runs: `sluice queue resume` lets it go on"
_LISTED = "`sluice queue ls` lists the keys of the queue"
_TAIL_FACTS = 1000  # looked through for the last sweep


def requeue(context: Context, tables: Tables, key: WorkKey) -> int:
    """Run a key now, whatever it waits for."""
    moved = tables.queue.requeue(key)
    unknown = "" if _is_known(tables, key) else f"; {key.shown} is not in the cluster"
    if unknown and isinstance(key, WorkloadKey):
        unknown = f"{unknown}, so it cleans up"
    context.terminal.note(f"queued{unknown}" if moved else "it was about to run anyway")
    tell_pause(context, tables)
    return DONE


def drop(context: Context, tables: Tables, key: WorkKey) -> int:
    """Take a key out of the queue, and tell what brings it back."""
    if tables.queue.drop(key):
        context.terminal.note(f"dropped; {_comes_back(context, tables, key)}")
        return DONE
    if tables.queue.members([key])[0]:
        context.terminal.note(f"{key} is running, so it was not dropped; its run ends by itself")
    elif _is_known(tables, key):
        context.terminal.note(f"{key} is in no queue, so nothing was dropped; {_LISTED}")
    else:
        context.terminal.note(f"no such key is known: {key}; {_LISTED}")
    return FAILED


def pause(context: Context, tables: Tables) -> int:
    """Stop claims."""
    if tables.queue.pause():
        context.terminal.note("paused: running keys finish, no key is taken until resume")
    else:
        context.terminal.note("it was paused already, and stays so until resume")
    return DONE


def resume(context: Context, tables: Tables) -> int:
    """Let claims go on."""
    resumed = tables.queue.resume()
    context.terminal.note("resumed" if resumed else "the queue was not paused: keys are taken")
    return DONE


def tell_pause(context: Context, tables: Tables) -> None:
    """Say that nothing runs while the queue is paused; nothing while it is not."""
    if tables.queue.paused():
        context.terminal.note(PAUSED)


def _is_known(tables: Tables, key: WorkKey) -> bool:
    """Return whether the cluster has it; what exists once is always there."""
    match key:
        case WorkloadKey():
            return tables.rows.get(key) is not None
        case ImageKey() | MatchKey():
            return image_of(key) in tables.images.keys()  # noqa: SIM118 # no mapping
        case _:
            return False


def _comes_back(context: Context, tables: Tables, key: WorkKey) -> str:
    """Return what brings a dropped key back, and when."""
    if isinstance(key, ImageKey):
        return (
            "it comes back when a workload that uses it runs again; "
            f"`sluice rescan {key.digest}` queues it now"
        )
    if isinstance(key, MatchKey):
        return (
            "it comes back with the next vulnerability database; "
            f"`sluice rescan {key.digest}` matches the image now"
        )
    sweep = f"the next sweep, {_next_sweep(context, tables)}, queues it again"
    if not isinstance(key, WorkloadKey):
        return f"{sweep} if it is needed"
    return (
        f"{sweep} if its reports need it (until then `sluice status` counts it as lacking); "
        f"`sluice rescan {key.shown}` queues it now"
    )


def _next_sweep(context: Context, tables: Tables) -> str:
    """Return when the watcher sweeps, as far as the ledger and our own settings tell."""
    interval_s = context.settings().pipeline.sweep_interval_s
    swept = [fact.at for _, fact in tables.ledger.tail(_TAIL_FACTS) if fact.kind == "swept"]
    if not swept:
        return f"within {age(interval_s)} or so"
    due_s = swept[-1] + interval_s - tables.clock.now_s()
    return f"in about {age(due_s)}" if due_s > 0 else "which is due"
