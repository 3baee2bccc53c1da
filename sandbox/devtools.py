"""Drives a headless Chromium through its debugging protocol, over two pipes.

It ends when its pipe closes, so also when who started it is killed. Only loopback is reached: names
lead nowhere, and there is no proxy.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from common.model.errors import PreconditionError
from sandbox.browser import Chromium

_ANSWER_S = 60.0  # a loaded machine; usually some milliseconds
_END_S = 10.0
_HIGH = 10  # descriptors from here on: the program wants its pipes as 3 and 4
_PIECE_BYTES = 1 << 20
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # it shows our own pages alone, and root cannot have one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One browser with one tab, whose `problems` are what its console complained of."""

    def __init__(self, chromium: Chromium) -> None:
        """Start it. Raises PreconditionError if it does not answer."""
        self.problems: list[str] = []
        self._profile = tempfile.mkdtemp(prefix="sluice-browser-")
        reads, its_write = map(_high, os.pipe())
        its_read, self._write = map(_high, os.pipe())
        self._read = reads
        options = (*_OPTIONS, f"--user-data-dir={self._profile}", "about:blank")
        nothing = os.open(os.devnull, os.O_RDWR)
        places = ((nothing, 0), (nothing, 1), (nothing, 2), (its_read, 3), (its_write, 4))
        self._pid = os.posix_spawn(
            chromium.program,
            [str(chromium.program), *options],
            {**chromium.environ, "HOME": self._profile, "TMPDIR": self._profile},
            file_actions=[(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in places],
        )
        os.close(nothing)
        os.close(its_read)
        os.close(its_write)
        self._number = 0
        self._rest = b""
        self._loaded = 0
        self._session = ""
        try:
            self._attach()
        except PreconditionError:
            self.close()
            raise

    def _attach(self) -> None:
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        asked = {"targetId": target, "flatten": True}
        self._session = self.call("Target.attachToTarget", **asked)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End it and remove what it kept."""
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        until_s = time.monotonic() + _END_S
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until_s:
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.01)
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, **params: object) -> Any:  # noqa: ANN401 # the protocol's own type
        """Return what the browser answers. Raises PreconditionError if it is gone or refuses."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._send(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise PreconditionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def view(self, width: int, height: int, *, dark: bool = False, media: str = "") -> None:
        """Show pages at this size, in these colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,  # noqa: PLR2004 # pixels; phones have fewer
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        before = self._loaded
        found = self.call("Page.navigate", url=url)
        if error := found.get("errorText"):
            raise PreconditionError(f"{url}: {error}")
        self.wait_loaded(before)

    @property
    def loaded(self) -> int:
        """How many pages were loaded so far."""
        return self._loaded

    def wait_loaded(self, before: int) -> None:
        """Wait until a page is loaded after the first `before`."""
        while self._loaded <= before:
            self._note(self._next())

    def run(self, script: str) -> Any:  # noqa: ANN401 # whatever the script says
        """Return what a script of the test gives."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in found:
            raise PreconditionError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key that is no letter, such as Tab or Enter."""
        codes = {"Tab": 9, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                      windowsVirtualKeyCode=codes[key], **text)  # fmt: skip

    def write(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Store what is seen; `whole`: also what stands below."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._write, data) :]
        except OSError as error:
            raise PreconditionError(f"the browser is gone: {error}") from error

    def _next(self) -> dict[str, Any]:
        """Return the next message, however long it is."""
        until_s = time.monotonic() + _ANSWER_S
        while b"\0" not in self._rest:
            left_s = until_s - time.monotonic()
            ready, _, _ = select.select([self._read], [], [], max(0.0, left_s))
            piece = os.read(self._read, _PIECE_BYTES) if ready else b""
            if not piece:
                raise PreconditionError("the browser does not answer")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, message: dict[str, Any]) -> None:
        """Take an event in: a page that is loaded, or something to complain of."""
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded += 1
            case "Log.entryAdded" if params["entry"]["level"] in ("warning", "error"):
                self.problems.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" if params["type"] in ("warning", "error", "assert"):
                self.problems.append(str(params["args"]))
            case "Runtime.exceptionThrown":
                self.problems.append(str(params["exceptionDetails"]))
            case _:
                pass


def _high(descriptor: int) -> int:
    """Return the descriptor under a number that no redirection of ours overwrites."""
    found = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    with contextlib.suppress(OSError):
        os.close(descriptor)
    return found
