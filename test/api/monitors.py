# SPDX-License-Identifier: Apache-2.0
"""The processes of microVMs, as the host sees them."""
from corraltest import HOST
from hosts import guest_area, memory_areas


def monitors(boxes):
    """(pid, areas of memory) of the VMM of each sandbox."""
    for pid, text in HOST.processes():
        if "corral-vmm" in text.split("\0")[0].split(" ")[0] and any(
                box in text for box in boxes):
            yield pid, memory_areas(HOST.read(f"/proc/{pid}/smaps").decode())


def guest_kib(box):
    """Anonymous memory of the guest: what it does not share with others of its template."""
    (_, areas), = monitors([box])
    return guest_area(areas)["Anonymous"]
