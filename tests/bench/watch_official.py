"""A bare watch of all Pods with the official Python client and its models, as its README shows it.

    python -m tests.bench.watch_official KUBECONFIG

Prints "synced" once it watches, and for every line that it reads the resourceVersion of the last
event. It does nothing with the events. Ends with its input.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from kubernetes import client, config, watch


class Follower:
    """Watches from now on; keeps the last version."""

    def __init__(self, kubeconfig: str) -> None:
        config.load_kube_config(kubeconfig)  # type: ignore[no-untyped-call] # ships no types
        self._api: Any = client.CoreV1Api()
        self.version = "0"

    def follow(self) -> None:
        """Watch for ever."""
        listed = self._api.list_pod_for_all_namespaces(limit=1)
        version = listed.metadata.resource_version
        sys.stdout.write("synced\n")
        sys.stdout.flush()
        stream: Any = watch.Watch().stream  # type: ignore[no-untyped-call] # ships no types
        for event in stream(self._api.list_pod_for_all_namespaces, resource_version=version):
            self.version = event["object"].metadata.resource_version


def main(arguments: list[str]) -> int:
    """Follow until the input ends."""
    follower = Follower(arguments[0])
    threading.Thread(target=follower.follow, daemon=True).start()
    for _ in sys.stdin:
        sys.stdout.write(f"{follower.version}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
