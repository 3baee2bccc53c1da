"""Servers, relays and programs repeat what they were told; nothing of it goes any further."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from common.model.errors import SluiceError, TerminalError
from common.ops.process import Child, ChildSpec, Forward
from sandbox.faults import Echo
from tests.fakes.web import Asked, Say, web
from tests.leaks import holds
from tests.unit.test_trivy_recorder import BODY, SCAN, call
from tests.unit.test_trivy_registry import config, resolve
from worker.evidence.failures import classify
from worker.evidence.image.docker_config import Credential, config_for
from worker.evidence.image.recorder import Recorder
from worker.evidence.image.trivy_process import TrivyRun, run_trivy
from worker.evidence.image.twirp import TrivyServerClient

SECRET = "q9hunter2z7"  # noqa: S105 # what must not be seen


def test_a_registry_that_repeats_the_credential() -> None:
    """Its words help to find out what is wrong; the password in them does not."""

    def answer(asked: Asked) -> Say:
        sent = asked.headers.get("authorization", "")
        if not sent:
            return Say(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        return Say(status=400, body=f"no such thing: {Echo.text(sent)}".encode())

    with web(answer) as server, pytest.raises(TerminalError) as caught:
        resolve(server, config(server, password=SECRET))
    assert not holds(str(caught.value).encode(), SECRET)
    assert "no such thing" in str(caught.value)


def test_a_registry_that_repeats_its_token() -> None:
    """What the token service gave is a credential like any other."""

    def answer(asked: Asked) -> Say:
        if asked.path.startswith("/token"):
            return Say(body=json.dumps({"token": SECRET}).encode())
        sent = asked.headers.get("authorization", "")
        if not sent:
            realm = f'Bearer realm="http://{asked.headers["host"]}/token",service="x"'
            return Say(status=401, headers={"WWW-Authenticate": realm})
        return Say(status=400, body=f"bad request with {sent}".encode())

    with web(answer) as server, pytest.raises(TerminalError) as caught:
        resolve(server)
    assert "bad request" in str(caught.value)
    assert not holds(str(caught.value).encode(), SECRET)


def test_a_match_server_that_repeats_the_token() -> None:
    """As a relay in front of it may."""

    def answer(asked: Asked) -> Say:
        told = {"code": "internal", "msg": f"failed with {asked.headers['trivy-token']}"}
        return Say(status=500, body=json.dumps(told).encode())

    with web(answer) as server:
        with (
            closing(TrivyServerClient(server.url, token=SECRET)) as client,
            pytest.raises(SluiceError, match="failed with") as caught,
        ):
            client.call("scanner", "Scan", {})
        assert SECRET not in str(caught.value)
        with Recorder(server.url, token=SECRET) as recorder:  # what Trivy gets, it writes
            ((status, content, _),) = call(recorder.url, "POST", SCAN, BODY)
    assert status == 500
    assert SECRET.encode() not in content


def test_a_trivy_that_repeats_what_it_or_its_proxy_was_told(tmp_path: Path) -> None:
    """Its last words become an error's text, which goes everywhere."""
    (tmp_path / "config.json").write_bytes(
        config_for("r.example", Credential(username="robot", password=SECRET))
    )
    proxy = "http://me:proxy-hunter3@10.0.0.1:3128"
    header = Credential(username="me", password="proxy-hunter3").pair  # noqa: S106 # made up
    pair = Credential(username="robot", password=SECRET).pair
    words = f"x\\tFATAL\\tFatal error\\trun error: refused Basic, {pair} robot {SECRET} {header}"
    run = TrivyRun(
        argv=(sys.executable, "-c", f"print('{words} proxy-hunter3'); raise SystemExit(1)"),
        env={"DOCKER_CONFIG": str(tmp_path), "HTTPS_PROXY": proxy},
        cwd=tmp_path,
        log=tmp_path / "log",
        deadline_at_s=time.monotonic() + 30,
    )
    ended = run_trivy(run)
    text = str(classify(ended.exit_code, ended.log, killed_by_us=False))
    assert "refused" in text
    for told in (ended.log, text):
        assert not holds(told.encode(), SECRET)
        assert not holds(told.encode(), "proxy-hunter3")


def test_a_child_that_repeats_what_it_was_told() -> None:
    """The match server knows its token; its lines go to our log, its last ones into an error."""
    lines: list[str] = []
    spec = ChildSpec(
        name="server",
        argv=(sys.executable, "-c", f"print('token {SECRET} refused'); raise SystemExit(1)"),
        output=Forward(line=lambda _name, line: lines.append(line)),
        secrets=(SECRET,),
    )
    with Child(spec) as child:
        child.wait(30)
        said = child.last_words()
    assert "refused" in said
    assert lines == ["token *** refused"]
    assert SECRET not in said
