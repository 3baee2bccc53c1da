"""The chart's containers as processes of this machine: its commands, its environment.

Paths of the container become paths below a folder of the test, addresses become loopback ones.
Everything else is told to the process exactly as the chart says it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import Command, Process
from sandbox.valkey import server
from tests.charts.rendered import Rendered, environment

_STOP_S = 40.0
_PATHS = re.compile(r"/(?:run/secrets|etc/valkey|data|tmp)\b")  # where the chart mounts volumes


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where containers would find each other; here: one folder and one port."""

    chart: Rendered
    folder: Path
    redis_port: int
    password: str

    def local(self, text: str) -> str:
        """Return a script or file of the chart with the container's paths replaced."""
        return _PATHS.sub(lambda path: f"{self.folder}{path[0]}", text)

    def redis(self) -> Process:
        """Return the chart's Redis: its command, its configuration, its password's file."""
        for name in ("run/secrets/redis", "etc/valkey", "data", "tmp", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "run/secrets/redis/password").write_text(self.password, encoding="utf-8")
        configuration = self.chart.one("ConfigMap", "redis")["data"]["valkey.conf"]
        place = f"port {self.redis_port}\nbind 127.0.0.1\n"
        (self.folder / "etc/valkey/valkey.conf").write_text(
            place + self.local(configuration), encoding="utf-8"
        )
        program = self.folder / "bin" / "valkey-server"
        if not program.exists():
            program.symlink_to(server())
        container = self.chart.containers()["redis"]
        return Process(
            Command(
                name="redis",
                argv=tuple(self.local(word) for word in container["command"]),
                log=self.folder / "redis.log",
                environ={"PATH": f"{program.parent}:{os.environ['PATH']}"},
            )
        )

    def component(self, name: str, *, kubeconfig: Path | None) -> Process:
        """Return one of our containers, with the token that its Pod would mount, if any."""
        container = self.chart.containers()[name]
        told = environment(container, namespace=self.chart.namespace)
        return Process(
            Command(
                name=name,
                argv=(sys.executable, "-P", "-m", "common.cli.main", *container["args"]),
                log=self.folder / f"{name}.log",
                environ={**told, **self._places(name, told, kubeconfig)},
                folder=Path("/"),
                stop_within_s=_STOP_S,
            )
        )

    def _places(
        self, name: str, told: Mapping[str, str], kubeconfig: Path | None
    ) -> dict[str, str]:
        """Return what is somewhere else here than in a Pod; nothing that the chart did not set."""
        here = {
            "SLUICE_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "SLUICE_REDIS_PASSWORD_FILE": str(self.folder / "run/secrets/redis/password"),
            "SLUICE_TRIVY_TOKEN_FILE": str(self.folder / "run/secrets/match/token"),
            "SLUICE_DATA_DIR": str(self.folder / name),
            "SLUICE_SCANNER_SOCKET": str(self.folder / "scanner.sock"),
            "SLUICE_MATCHER_ADDRESS": "127.0.0.1:0",
            "SLUICE_MATCHER_ADVERTISED_URL": "",
        }
        places = {key: value for key, value in here.items() if key in told}
        if kubeconfig is not None:  # instead of the mounted token
            places["SLUICE_KUBECONFIG"] = str(kubeconfig)
        return {
            **places,
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / name),
            "OPERATOR_METRICS_BIND_ADDRESS": "127.0.0.1:0",
            "OPERATOR_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
            "SLUICE_STATUS_ADDRESS": "127.0.0.1:0",
        }
