"""A primary, its replicas, and the Sentinels that watch them: to be killed and demoted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from common.model.errors import PreconditionError
from sandbox.certificates import Certificates
from sandbox.place import Place
from sandbox.processes import Command, Process, Stack
from sandbox.valkey import Valkey, listening_words

SERVICE = "main"
# Real ones wait 30 s before they call a primary dead; here that is the length of a test.
_DOWN_MS, _FAILOVER_MS = 500, 5000
_READY_S = 30.0
_POLL_S = 0.03


class Sentinels:
    """Servers and Sentinels in one place, all servers with the same password."""

    def __init__(  # noqa: PLR0913 # what a user would write into two configuration files
        self,
        place: Place,
        stack: Stack,
        *,
        program: Path,
        password: str,
        name: str = "sentinel",
        replicas: int = 1,
        watchers: int = 1,
        watchers_password: str = "",
        certificates: Certificates | None = None,
    ) -> None:
        """Nothing runs before `start`.

        With two replicas, a primary that has lost both refuses writes: it may not be one any more.
        `watchers_password` is what the Sentinels ask for; with `certificates` all speak TLS.
        """
        self._place, self._stack, self._program = place, stack, program
        self._password, self._name = password, name
        self._watchers_password, self._certificates = watchers_password, certificates
        secret = ("--requirepass", password, "--masterauth", password)
        # Without a delay the first copy begins at once instead of after 5 s.
        # Nor does the last one to end wait for those that ended before it.
        words: tuple[str, ...] = (
            *secret,
            "--repl-diskless-sync-delay",
            "0",
            "--shutdown-timeout",
            "0",
        )
        if replicas > 1:
            words += ("--min-replicas-to-write", "1")
        self.first = self._server(f"{name}-0", words)
        following = ("--replicaof", "127.0.0.1", str(self.first.port))
        self.replicas = [
            self._server(f"{name}-{number}", (*words, *following))
            for number in range(1, replicas + 1)
        ]
        self.watching: list[Process] = []
        self.ports = [place.port() for _ in range(watchers)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.url = f"redis{'s' if certificates else ''}+sentinel://{hosts}/{SERVICE}/0"

    def _server(self, name: str, options: Sequence[str]) -> Valkey:
        return Valkey(
            self._place,
            self._stack,
            name=name,
            program=self._program,
            options=options,
            certificates=self._certificates,
        )

    def start(self) -> Self:
        """Start everything; return when a failover would find a replica up to date."""
        for server in (self.first, *self.replicas):
            server.start()
        for number, port in enumerate(self.ports):
            self._watch(number, port)
        self._until(self._complete, "every Sentinel knows the replicas, which follow")
        return self

    def _watch(self, number: int, port: int) -> None:
        quorum = len(self.ports) // 2 + 1
        name = f"{self._name}-watch-{number}"
        folder = self._place.sub(name)
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.first.port} {quorum}\n"
            f"sentinel auth-pass {SERVICE} {self._password}\n"
            f"sentinel down-after-milliseconds {SERVICE} {_DOWN_MS}\n"
            f"sentinel failover-timeout {SERVICE} {_FAILOVER_MS}\n"
            + (f"requirepass {self._watchers_password}\n" if self._watchers_password else ""),
            encoding="utf-8",
        )
        listening = listening_words(port, self._certificates)
        words = (*listening, "--bind", "127.0.0.1", "--dir", str(folder), "--sentinel")
        process = Process(
            Command(
                name=name,
                argv=(str(self._program), str(configuration), *words),
                log=self._place.log(name),
            )
        ).start()
        self._stack.push(process)
        self.watching.append(process)

    def _complete(self) -> bool:
        return all(self.asked(self._knows_all))

    def _knows_all(self, sentinel: Any) -> bool:  # noqa: ANN401 # redis-py types no Sentinel
        """Say whether it knows the other Sentinels, and replicas that it would promote."""
        others = sentinel.sentinel_masters()[SERVICE]["num-other-sentinels"]
        fit = [
            each
            for each in sentinel.sentinel_slaves(SERVICE)
            if each["master-link-status"] == "ok" and each["flags"] == "slave"
        ]
        return others == len(self.ports) - 1 and len(fit) == len(self.replicas)

    def asked(self, ask: Callable[[Any], Any]) -> list[Any]:
        """Return every Sentinel's answer."""
        answers = []
        for port in self.ports:
            with self.sentinel(port) as sentinel:
                answers.append(ask(sentinel))
        return answers

    def sentinel(self, port: int) -> Redis:
        """Return a client of the Sentinel on that port."""
        secure: dict[str, Any] = {}
        if self._certificates is not None:
            secure = {"ssl": True, "ssl_ca_certs": str(self._certificates.ca)}
        password = self._watchers_password or None
        return Redis(host="127.0.0.1", port=port, password=password, socket_timeout=5, **secure)

    def primary(self) -> Valkey:
        """Return the server that the first Sentinel takes for the primary."""
        with self.sentinel(self.ports[0]) as sentinel:
            asked: Any = sentinel
            _, port = asked.sentinel_get_master_addr_by_name(SERVICE)
        (server,) = [each for each in (self.first, *self.replicas) if each.port == int(port)]
        return server

    def admin(self, server: Valkey | None = None) -> Redis:
        """Return a client of `server` (None: the primary) that may do everything."""
        chosen = server or self.primary()
        return Redis.from_url(chosen.socket_url, password=self._password, socket_timeout=5)

    def demote(self) -> None:
        """Have a Sentinel make a replica the primary, and the primary a replica."""
        with self.sentinel(self.ports[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)

    def cut_off(self) -> None:
        """End the replication for good: what is written from now on, a failover loses.

        Nothing written before is lost. A Sentinel promotes such a replica for some seconds only.
        """
        with self.admin(self.first) as admin:
            asked: Any = admin
            written = asked.info("replication")["master_repl_offset"]
            for replica in self.replicas:
                with self.admin(replica) as client:
                    self._until(lambda: _has(client, written), "the replica has it all")
                    client.config_set("masterauth", "another")
            asked.client_kill_filter(_type="replica")
            self._until(
                lambda: asked.info("replication")["connected_slaves"] == 0, "no replica follows"
            )

    def await_failover(self, former: Valkey) -> None:
        """Return when another server than `former` is the primary, and says so itself."""
        self._until(lambda: self._leads_instead_of(former), "another primary")

    def await_follower(self, former: Valkey) -> None:
        """Return when `former` follows the new primary: until then it takes writes, and loses them.

        A Sentinel leaves it alone for 8 s, in case that somebody set it up anew on purpose.
        """
        self._until(lambda: self._follows(former), "the former primary follows")

    def _follows(self, former: Valkey) -> bool:
        with self.admin(former) as client:
            found: Any = client.info("replication")
        return bool(found["role"] == "slave" and found["master_link_status"] == "up")

    def _leads_instead_of(self, former: Valkey) -> bool:
        now = self.primary()
        if now is former:
            return False
        with self.admin(now) as client:
            found: Any = client.info("replication")
        return bool(found["role"] == "master")

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _READY_S
        while True:
            with contextlib.suppress(RedisError, OSError, KeyError):  # one is not there yet
                if holds():
                    return
            if time.monotonic() > deadline:
                raise PreconditionError(f"Sentinel: not within {_READY_S:g} s: {what}")
            time.sleep(_POLL_S)


def _has(replica: Redis, offset: int) -> bool:
    found: Any = replica.info("replication")
    return bool(found["slave_repl_offset"] >= offset)
