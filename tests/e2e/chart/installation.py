"""One release of the chart on the ground, and the questions that tests ask it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.model.redis_address import parse_redis_url
from common.state.connect import Client, connect
from common.state.names import Names
from sandbox.processes import Command, Process
from tests.charts.rendered import CHART
from tests.e2e.chart.ground import Ground, eventually, write

READY_S = 180.0  # 30 s on two idle cores
_LABEL = "app.kubernetes.io"
_WAIT = ("--wait", "--timeout=4m")

Pod = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A release in a namespace of its own."""

    ground: Ground
    name: str
    namespace: str

    def install(self, values: Mapping[str, Any], *presets: Path, chart: Path = CHART) -> None:
        """Install it and wait until everything is ready."""
        self._helm("install", chart, values, presets)

    def upgrade(self, values: Mapping[str, Any], *presets: Path, chart: Path = CHART) -> None:
        """Upgrade it to a chart or to other values, and wait until everything is ready."""
        self._helm("upgrade", chart, values, presets)

    def _helm(
        self, verb: str, chart: Path, values: Mapping[str, Any], presets: Sequence[Path]
    ) -> None:
        """Later values win: ours say where images are, which no preset knows."""
        file = write(values, self.ground.place.folder / f"{self.name}-values.json")
        words = (verb, self.name, str(chart), f"--namespace={self.namespace}", *_WAIT)
        self.ground.helm(*words, *(f"--values={each}" for each in (*presets, file)))

    def fullname(self, component: str) -> str:
        """Return the name of a component's objects."""
        base = self.name if "kube-sluice" in self.name else f"{self.name}-kube-sluice"
        return f"{base}-{component}"

    def pods(self, component: str = "") -> list[Pod]:
        """Return its Pods, or those of a component, that shall run: no hook's, none that goes."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        selector = f"{_LABEL}/instance={self.name}"
        if component:
            selector += f",{_LABEL}/component={component}"
        found = self.ground.node.api.get(path, labelSelector=selector)["items"]
        return [
            pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"]
            and pod["spec"]["restartPolicy"] == "Always"
        ]

    def pod(self, component: str) -> str:
        """Return the name of one ready Pod of a component."""
        return next(str(one["metadata"]["name"]) for one in self.pods(component) if is_ready(one))

    def await_ready(self, components: Mapping[str, int]) -> None:
        """Wait until exactly so many Pods of each component are there, all ready."""

        def ready() -> bool:
            return all(
                [is_ready(pod) for pod in self.pods(component)] == [True] * number
                for component, number in components.items()
            )

        eventually(ready, within_s=READY_S, explain=self.explain)

    def execute(self, component: str, *words: str, container: str = "") -> str:
        """Return what a command prints in one of a component's Pods."""
        where = ("exec", f"--namespace={self.namespace}", self.pod(component))
        return self.ground.kubectl(*where, f"--container={container or component}", "--", *words)

    def processes(self, pod: Pod, container: str) -> list[int]:
        """Return the processes of a Pod's container, by their ids on this machine."""
        (number,) = (
            one["containerID"].rpartition("/")[2]
            for name in ("initContainerStatuses", "containerStatuses")
            for one in pod["status"].get(name, ())
            if one["name"] == container
        )
        return self.ground.processes(number)

    def status(self) -> Mapping[str, Any]:
        """Return what `sluice status` says in a watcher."""
        told: Mapping[str, Any] = json.loads(self.execute("watcher", "sluice", "status", "--json"))
        return told

    def is_done(self, workloads: int) -> bool:
        """Say whether it knows so many workloads, or more, all true, and nothing is wrong."""
        told = self.status()
        covered = told["coverage"]
        return not told["problems"] and workloads <= covered["workloads"] == covered["true"]

    def logs(self, component: str, *, container: str = "", previous: bool = False) -> str:
        """Return the log of each of a component's Pods."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        query = f"container={container or component}&previous={str(previous).lower()}"
        return "\n".join(
            self.ground.node.api.request(
                "GET", f"{path}/{pod['metadata']['name']}/log?{query}"
            ).decode()
            for pod in self.pods(component)
        )

    def explain(self) -> str:
        """Return what a reader of a failed test needs."""
        where = f"--namespace={self.namespace}"
        said = [
            self.ground.attempt("kubectl", "get", "pods", "--output=wide", where).stdout,
            self.ground.attempt("kubectl", "get", "events", where).stdout[-4000:],
        ]
        for component in ("watcher", "worker", "matcher"):
            with contextlib.suppress(OSError):
                said.append(f"--- {component}\n{self.logs(component)[-3000:]}")
        return "\n".join(said)

    @contextlib.contextmanager
    def tables(self) -> Iterator[tuple[Client, Names]]:
        """Give its Redis, with the password of its Secret, and the names of its key space."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets/{self.fullname('redis')}"
        password = base64.b64decode(self.ground.node.api.get(path)["data"]["password"]).decode()
        system = self.ground.node.api.get("/api/v1/namespaces/kube-system")
        with self.forwarded(self.pod("redis"), 6379) as port:
            address = parse_redis_url(f"redis://:{password}@127.0.0.1:{port}/0")
            with contextlib.closing(connect(address, name="test")) as client:
                yield client, Names(system["metadata"]["uid"][:8])

    @contextlib.contextmanager
    def forwarded(self, pod: str, port: int) -> Iterator[int]:
        """Give a port of this machine that leads to a Pod's."""
        local = self.ground.place.port()
        log = self.ground.place.log(f"forward-{local}")
        words = ("port-forward", f"--namespace={self.namespace}", pod, f"{local}:{port}")
        process = Process(
            Command(
                name="port-forward",
                argv=(str(self.ground.programs["kubectl"]), *words),
                log=log,
                environ=self.ground.environ(),
            )
        ).start()
        try:
            process.wait_ready(lambda: "Forwarding" in log.read_text(), timeout_s=60)
            yield local
        finally:
            process.stop()


def is_ready(pod: Pod) -> bool:
    """Say whether a kubelet calls a Pod ready."""
    conditions: Sequence[Mapping[str, str]] = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def restarts(pod: Pod) -> int:
    """Return how often a kubelet started containers of a Pod again."""
    lists = ("initContainerStatuses", "containerStatuses")
    return sum(one["restartCount"] for name in lists for one in pod["status"].get(name, ()))
