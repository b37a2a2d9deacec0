# SPDX-License-Identifier: Apache-2.0
"""A hundred creates at once: each answered, nothing left over."""
import collections
import threading

from corraltest import ApiTest, not_emulated


@not_emulated("a hundred microVMs on one interpreted processor; test_clones makes thirty")
class Burst(ApiTest):
    def test_a_hundred_at_once(self):
        answers, lock = [], threading.Lock()

        def one():
            answer = self.api.post("/sandboxes", {"provider": "a", "region": "b"}, timeout=300)
            with lock:
                answers.append(answer)

        threads = [threading.Thread(target=one) for _ in range(100)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        counts = collections.Counter(a.status for a in answers)
        self.assertEqual(sum(counts.values()), 100)
        self.assertEqual(set(counts) - {201, 429, 503}, set(), counts)
        for answer in answers:
            if answer.status != 201:
                self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        made = [a.json["sandbox_id"] for a in answers if a.status == 201]
        self.assertGreater(len(made), 0)
        self.assertEqual(len(set(made)), len(made))
        for box in made:
            self.assertEqual(self.api.run(box, "echo hi")["stdout"], "hi\n")
        for box in made:
            self.assertEqual(self.api.delete(f"/sandboxes/{box}").status, 200)
