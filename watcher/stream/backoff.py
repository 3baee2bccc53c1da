"""How long to wait after a failure. Pure."""

from __future__ import annotations

# client-go's reflector: 0.8 s doubling to 30 s, jitter factor 1, fresh after 2 minutes of health.
BASE_S = 0.8
CAP_S = 30.0
HEALTHY_S = 120.0
# A server, or a proxy, may ask for more; then we come back anyway.
RETRY_AFTER_CAP_S = 120.0
_MAX_EXPONENT = 16


def delay_s(failures: int, *, draw: float, floor_s: float = 0.0) -> float:
    """Return the wait before the next try, after `failures` earlier ones in a row.

    Within [0.8, 60) unless the server asked for more: `floor_s` is what it asked for.
    """
    step_s = min(CAP_S, BASE_S * 2.0 ** min(failures, _MAX_EXPONENT))
    return max(min(floor_s, RETRY_AFTER_CAP_S), step_s * (1.0 + draw))
