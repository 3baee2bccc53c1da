"""Whose account asks: the own one of a component, in its Pod, or a user's. Pure.

In a Pod, what other components may do cannot be asked, and is no fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.model.finding import Finding, Good, Notice

_COMPONENTS = ("watcher", "worker", "matcher")


def component_of(user: str, *, home: str) -> str:
    """Return the component whose ServiceAccount this is, by the chart's names; empty: a user's.

    `home` is the product's namespace, where its accounts are.
    """
    account, dash, component = user.rpartition("-")
    ours = account.startswith(f"system:serviceaccount:{home}:")
    return component if dash and ours and component in _COMPONENTS else ""


def judge_account(user: str, component: str) -> Iterator[Finding]:
    """Yield what is not looked at here, where this is a component's own account."""
    if component:
        yield Good(topic="account", said=f"{user}: what the {component} needs is looked at")
    if component not in ("", "watcher"):
        yield Notice(
            topic="account",
            said=(
                "definitions and other operators are looked at in the watcher's Pod, or by a user: "
                f"the {component} may not"
            ),
        )


def concerning(found: Iterable[Finding], component: str) -> Iterator[Finding]:
    """Yield the findings about access without those of others than `component`; empty: all."""
    others = {f"access of the {one}" for one in _COMPONENTS if component and one != component}
    return (one for one in found if one.topic not in others)
