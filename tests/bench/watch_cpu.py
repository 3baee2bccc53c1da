"""CPU for the same Pod status events: the whole watcher, beside bare clients that only decode.

One API server, one stream of events, all clients at once, in windows. The watcher folds, judges
and answers its probes, and its own Redis is beside it; the others keep nothing (models) or the
objects (informer). No client's start is counted.

Where two cores cannot store 500 status updates a second (each costs the API server 4 ms), it could
not be measured what that rate costs a client. So the clients stand behind a relay that keeps the
API server's events back, frame by frame as it wrote them, and lets them go at exactly 500 a second.
Every other window is without that: as fast as the API server is.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.controlplane import ControlPlane
from sandbox.gobuild import Say
from sandbox.place import Place
from sandbox.valkey import Valkey
from tests.bench import watch_clients
from tests.bench.queue_rows import against, row
from tests.bench.watch_clients import Dialogue
from tests.bench.watch_process import Running, cpu_s, poll_until, rss_mb, running

DEPLOYMENTS = 25
REPLICAS = 20
EVENTS = 5_000  # in a window
PER_SECOND = 500.0
WINDOWS = 3
SCALE = 100_000  # events that the rows speak of
NAMESPACE = "bench-cpu"
_CLUSTER = "bench-cpu"
_CATCH_UP_S = 120.0  # the models are slower than the events on a loaded machine
_LAST_S = 0.5  # the last events on their way through the watcher
_REST_S = 3.0
_PODS_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one window cost each process, in CPU seconds."""

    used: Mapping[str, float]
    per_second: float
    seen: bool  # every client had seen every event


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Who is measured, and who makes events."""

    watcher: Running
    models: Dialogue
    informer: Dialogue
    writer: Dialogue
    relay: Dialogue
    redis_pid: int
    apiserver_pid: int

    @property
    def measured(self) -> dict[str, int]:
        """The process ids of the clients."""
        return {
            "watcher": self.watcher.pid,
            "models": self.models.pid,
            "informer": self.informer.pid,
        }

    def used(self) -> dict[str, float]:
        """Return the CPU seconds that each process has used."""
        pids = {**self.measured, "redis": self.redis_pid, "apiserver": self.apiserver_pid}
        return {name: cpu_s(pid) for name, pid in pids.items()}

    def told(self) -> float:
        """Return how many events of Pods the watcher has seen."""
        return self.watcher.metric("sluice_watcher_events_total", resource="pods")


def measure(
    place: Place, plane: ControlPlane, valkey: Valkey, *, windows: int, say: Say
) -> tuple[list[dict[str, object]], bool]:
    """Return the rows, and whether every client saw every event."""
    program = watch_clients.pods_program(say=say)
    populate(plane)
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(
            watch_clients.Relay(program, plane.kubeconfig, place.sub("relay"))
        )
        watcher = stack.enter_context(
            running(place, valkey, relay.kubeconfig, cluster=_CLUSTER, environ={})
        )
        watcher.await_swept()
        clients = Clients(
            watcher=watcher,
            models=stack.enter_context(watch_clients.official(relay.kubeconfig)),
            informer=stack.enter_context(watch_clients.informer(program, relay.kubeconfig)),
            writer=stack.enter_context(
                watch_clients.writer(program, plane.kubeconfig, NAMESPACE, per_second=PER_SECOND)
            ),
            relay=relay,
            redis_pid=valkey.pid,
            apiserver_pid=plane.apiserver_pid,
        )
        time.sleep(_REST_S)
        paced: list[Window] = []
        direct: list[Window] = []
        for number in range(windows):
            for found, window in ((paced, paced_window), (direct, direct_window)):
                found.append(window(clients))
                say(f"window {number + 1}, {window.__name__}: {_shown(found[-1])}")
        resident = {name: rss_mb(pid) for name, pid in clients.measured.items()}
    everything = (*paced, *direct)
    return _rows(paced, direct, resident), all(one.seen for one in everything)


def populate(plane: ControlPlane) -> None:
    """Create Deployments and wait for their Pods, each with a status that tells what it runs."""
    plane.create_namespace(NAMESPACE)
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    for number in range(DEPLOYMENTS):
        plane.api.create(path, _deployment(number))
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    wanted = DEPLOYMENTS * REPLICAS
    poll_until(lambda: len(plane.api.get(pods)["items"]) == wanted, timeout_s=_PODS_S)
    for pod in plane.api.get(pods)["items"]:
        plane.api.patch(f"{pods}/{pod['metadata']['name']}/status", {"status": _status(pod)})


def direct_window(clients: Clients) -> Window:
    """Write events that every client gets as they come."""
    counted, before = clients.told(), clients.used()
    took_s, version = map(float, clients.writer.ask(str(EVENTS)).split())
    return _ended(clients, counted, before, took_s=took_s, version=version)


def paced_window(clients: Clients) -> Window:
    """Let events gather, and count from the moment in which they begin to go."""
    counted = clients.told()
    clients.relay.ask("hold")
    _, version = map(float, clients.writer.ask(str(EVENTS)).split())
    time.sleep(_LAST_S)
    before = clients.used()
    took_s = float(clients.relay.ask(str(PER_SECOND)))
    return _ended(clients, counted, before, took_s=took_s, version=version)


def _ended(
    clients: Clients, counted: float, before: Mapping[str, float], *, took_s: float, version: float
) -> Window:
    """Let every client catch up; nobody is asked while CPU is counted, but who lags behind."""
    caught_up = poll_until(
        lambda: all(int(one.ask()) >= version for one in (clients.models, clients.informer)),
        timeout_s=_CATCH_UP_S,
    )
    time.sleep(_LAST_S)
    after = clients.used()
    return Window(
        used={name: after[name] - before[name] for name in after},
        per_second=EVENTS / took_s,
        seen=caught_up and clients.told() - counted >= EVENTS,
    )


def _rows(
    paced: Sequence[Window], direct: Sequence[Window], resident: Mapping[str, float]
) -> list[dict[str, object]]:
    """Return the rows of all windows, scaled to 100,000 events."""
    unit = f"CPU s per {SCALE:,} events"
    return [
        *_versus(paced, "", goals=(10.0, 2.5)),
        *_versus(direct, "-direct", goals=(None, None)),
        row("events-per-second", _rates(paced), unit="events/s", beside="all clients at once"),
        row(
            "events-per-second-direct",
            _rates(direct),
            unit="events/s",
            beside="what the API server can",
        ),
        row("cpu-of-redis", _scaled(paced, "redis"), unit=unit, beside="the watcher's own"),
        row("cpu-of-apiserver", _scaled(direct, "apiserver"), unit=unit, beside="for all clients"),
        *(
            row(f"rss-of-{name}", [size], unit="MB", beside=f"{DEPLOYMENTS * REPLICAS} Pods")
            for name, size in resident.items()
        ),
    ]


def _versus(
    found: Sequence[Window], suffix: str, *, goals: tuple[float | None, float | None]
) -> list[dict[str, object]]:
    models, informer = goals
    versus = (
        ("cpu-vs-official-models", "models", "official client's models", models),
        ("cpu-vs-client-go-informer", "informer", "client-go SharedInformer, protobuf", informer),
    )
    return [
        against(
            f"{case}{suffix}",
            _scaled(found, "watcher"),
            _scaled(found, theirs),
            name=name,
            unit=f"CPU s per {SCALE:,} events",
            goal=goal,
            less_is_better=True,
        )
        for case, theirs, name, goal in versus
    ]


def _scaled(found: Sequence[Window], name: str) -> list[float]:
    return [one.used[name] * SCALE / EVENTS for one in found]


def _rates(found: Sequence[Window]) -> list[float]:
    return [one.per_second for one in found]


def _shown(window: Window) -> str:
    used = ", ".join(
        f"{name} {seconds * SCALE / EVENTS:.1f}" for name, seconds in window.used.items()
    )
    load = os.getloadavg()[0]
    return f"{window.per_second:.0f} events/s, load {load:.1f}; CPU s per {SCALE:,}: {used}"


def _deployment(number: int) -> dict[str, Any]:
    labels = {
        "app": f"web-{number}",
        "app.kubernetes.io/part-of": "shop",
        "app.kubernetes.io/version": "1.4.2",
        "tier": "backend",
    }
    template = {
        "metadata": {
            "labels": labels,
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": "ab" * 32},
        },
        "spec": {
            "containers": list(_containers(number)),
            "volumes": [
                {"name": "config", "configMap": {"name": "app"}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"web-{number}", "labels": labels},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {"app": f"web-{number}"}},
            "template": template,
        },
    }


def _containers(number: int) -> Iterator[dict[str, Any]]:
    images = {
        "app": f"registry.example/shop/app-{number % 10}:1.4.2",
        "proxy": "registry.example/mesh/proxy:2.0.1",
    }
    environ = [{"name": f"SETTING_{at}", "value": f"value {at}"} for at in range(4)]
    for name, image in images.items():
        yield {
            "name": name,
            "image": image,
            "env": environ,
            "ports": [{"containerPort": 8080, "name": f"http-{name}"}],
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"memory": "256Mi"},
            },
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": f"http-{name}"}},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": f"http-{name}"}},
            "volumeMounts": [
                {"name": "config", "mountPath": "/etc/app"},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 # in a container
            ],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
            },
        }


def _status(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a kubelet tells of a Pod that runs."""
    moment = "2026-11-25T10:00:00Z"
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "podIPs": [{"ip": "10.0.0.7"}],
        "hostIP": "10.1.1.1",
        "startTime": moment,
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": moment} for kind in kinds
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": f"{container['image'].partition(':')[0]}@sha256:{'ab' * 32}",
                "containerID": f"containerd://{'cd' * 32}",
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": moment}},
            }
            for container in pod["spec"]["containers"]
        ],
    }
