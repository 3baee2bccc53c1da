"""Worker processes (tests/queue_worker.py) on any deployment, and what they leave behind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from common.model.key import WorkloadKey
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack
from tests.deployments import Deployment
from tests.queue_worker import Diary, Order

_ROOT = Path(__file__).parents[1]


@dataclass
class Workers:
    """The processes of one cluster name, and the record that they keep outside Redis."""

    deployment: Deployment
    cluster: str
    place: Place
    stack: Stack
    diary: Diary
    processes: list[Process] = field(default_factory=list)

    def start(self, **changes: object) -> Process:
        """Start one more; `changes` are fields of its order."""
        deployment = self.deployment
        order = Order(
            url=deployment.url,
            cluster=self.cluster,
            folder=str(self.diary.folder),
            password_file=deployment.password_file,
            ca_file=deployment.ca_file,
        )
        text = msgspec.json.encode(msgspec.structs.replace(order, **changes)).decode()
        name = f"{self.cluster}-worker-{len(self.processes)}"
        argv = (sys.executable, "-m", "tests.queue_worker", text)
        command = Command(name=name, argv=argv, log=self.place.log(name), folder=_ROOT)
        process = self.stack.push(Process(command)).start()
        self.processes.append(process)
        return process

    def want(self, keys: Sequence[WorkloadKey]) -> None:
        """Note that every key has changed once more."""
        for key in keys:
            self.diary.want(key.name, self.diary.wanted(key.name) + 1)

    def behind(self, keys: Sequence[WorkloadKey]) -> list[WorkloadKey]:
        """Return the keys whose last change no run has seen."""
        diary = self.diary
        return [key for key in keys if diary.seen(key.name) != diary.wanted(key.name)]

    def said(self) -> str:
        """Return the ends of all logs, for a failure's message."""
        return "\n".join(process.tail() for process in self.processes)
