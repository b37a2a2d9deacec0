# SPDX-License-Identifier: Apache-2.0
"""Moments that clients see as wall clock times. They are kept on the monotonic clock: the wall
clock of a restored snapshot jumps by the snapshot's age, and nothing may expire by that."""
import time

JUMP_S = 1.0  # a wall clock that has moved further than this has been set

_offset = None


def now():
    """Seconds, monotonic: of the same clock as the event loop's."""
    return time.monotonic()


def wall_ms(moment):
    """Two calls for one moment give one result, unless the clock was set in between."""
    global _offset
    offset = time.time() - time.monotonic()
    if _offset is None or abs(offset - _offset) > JUMP_S:
        _offset = offset
    return int((moment + _offset) * 1000)
