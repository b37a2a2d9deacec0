# SPDX-License-Identifier: Apache-2.0
"""Moments that clients see as wall clock times. They are kept on the monotonic clock, because the
wall clock of a restored snapshot jumps by the snapshot's age and nothing may expire because of
that."""
import time

JUMP_S = 1.0  # a wall clock that has moved further than this has been set

_offset = None


def now():
    """Seconds on the monotonic clock, which is the event loop's, too."""
    return time.monotonic()


def wall_ms(moment):
    """The same moment gives the same result, unless the clock was set in between."""
    global _offset
    offset = time.time() - time.monotonic()
    if _offset is None or abs(offset - _offset) > JUMP_S:
        _offset = offset
    return int((moment + _offset) * 1000)
