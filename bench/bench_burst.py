# SPDX-License-Identifier: Apache-2.0
"""Creates that come at once: their statuses, and what is left after they are killed."""
import collections
import threading
import time

from benchlib import Row, Samples, corrald
from corraltest import wait_until

COUNT = 100
BODY = {"provider": "bench", "region": "here", "timeout": 3600}


def measure():
    with corrald("--pool-size", "2") as server:
        time.sleep(3)
        before = server.descriptors()
        answers, lock, go = [], threading.Lock(), threading.Event()

        def create():
            go.wait()
            started = time.perf_counter()
            answer = server.client.post("/sandboxes", BODY, timeout=300)
            with lock:
                answers.append((answer, (time.perf_counter() - started) * 1000))
        threads = [threading.Thread(target=create) for _ in range(COUNT)]
        for thread in threads:
            thread.start()
        go.set()
        for thread in threads:
            thread.join()
        boxes = [a.json["sandbox_id"] for a, _ in answers if a.status == 201]
        server.note_ids()
        for box in boxes:
            server.client.delete(f"/sandboxes/{box}")
        wait_until(lambda: server.descriptors() <= before + 8, 60, "descriptors are as before")
        opened = server.descriptors() - before
    statuses = collections.Counter(answer.status for answer, _ in answers)
    refused = [a for a, _ in answers if a.status != 201]
    proper = all(a.status in (429, 503) and a.headers["Retry-After"].isdigit() for a in refused)
    text = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    rows = [Row(f"{COUNT} creates at once: {text}", "ms", Samples([ms for _, ms in answers]),
                budget="201 or 429/503", met=proper),
            Row("  descriptors left after kills", "", Samples([opened]))]
    return rows
