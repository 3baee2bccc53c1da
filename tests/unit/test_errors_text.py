"""Foreign text in our messages: whatever it is, it can be stored, logged and sent."""

from __future__ import annotations

import msgspec
import orjson
import pytest

from common.model.errors import FOREIGN_LIMIT, SluiceError, shorten
from common.queue.contract import Claim, Failed, Hold, Park, Retry
from common.queue.encode import encode_done
from common.queue.policy import unknown
from common.state.names import Names
from tests.queue_values import judged, workload

# As `os.fsdecode` makes it of a name that is no UTF-8, and JSON of an escape that stands alone.
HALF = "layer/\udcff\ud800.tar"


def test_halves_of_a_pair_are_replaced() -> None:
    """Nothing can encode them, and the error would come where nobody expects one."""
    assert shorten(HALF).encode() == b"layer/??.tar"


@pytest.mark.parametrize("length", [FOREIGN_LIMIT, FOREIGN_LIMIT + 1])
def test_text_is_one_line_of_a_bounded_length(length: int) -> None:
    """A message is read in a log and in an Event."""
    assert len(shorten("é" * length)) == FOREIGN_LIMIT
    assert shorten("a\n\t b") == "a b"


@pytest.mark.parametrize(
    "failed",
    [
        Retry(delay_s=1.0, reason="x", message=HALF),
        Park(reason="x", message=HALF, probe_after_s=1.0),
        Hold(delay_s=1.0, source="registry/r", reason="x", message=HALF),
    ],
    ids=lambda failed: type(failed).__name__,
)
def test_the_end_of_a_failed_run_can_always_be_told(failed: Failed) -> None:
    """A loop that dies of it leaves its keys to the next one, which dies of it too."""
    entry = encode_done(Names("c1"), Claim(key=workload(), token=1), failed, [])
    msgspec.msgpack.encode(entry)
    orjson.loads(str(entry["data"]))


@pytest.mark.parametrize(
    "error", [SluiceError(HALF), unknown(OSError(HALF)), unknown(KeyError(HALF))]
)
def test_an_error_with_such_text_is_judged_like_any_other(error: SluiceError) -> None:
    """The policy needs the class, not the text."""
    found = judged(error, Claim(key=workload(), token=1))
    assert found.message.encode()
