# SPDX-License-Identifier: Apache-2.0
"""Flows that are allowed: bytes, ends, meters, and the errors of hosts."""
import hashlib
import os
import shutil
import threading
import time

import egress
import internet
import suite


class Flows(suite.Case):
    def test_bytes_go_both_ways(self):
        flow = self.opened()
        flow.write(b"hello")
        self.assertEqual(flow.frame(), (egress.DATA, b"hello"))
        flow.send(egress.FIN)
        self.assertEqual(flow.frame(), (egress.FIN, b""))
        self.assertEqual(flow.frame(), (None, b""))

    def test_a_name_with_only_ipv6(self):
        server = self.net.serve(internet.WEB6, 7, internet.echo)
        flow = self.opened("six.example")
        flow.write(b"six")
        self.assertEqual(flow.frame(), (egress.DATA, b"six"))
        server.sock.close()

    def test_an_address(self):
        self.opened(internet.WEB).write(b"x")

    def test_64_mib_each_way(self):
        piece = os.urandom(1 << 20)
        total, digest = 64 << 20, hashlib.sha256()
        for _ in range(64):
            digest.update(piece)
        before = self.egress.resident()
        up = self.opened(port=9)
        for _ in range(64):
            up.write(piece)
        up.send(egress.FIN)
        data, end = up.read()
        self.assertEqual((data.decode(), end), (f"{total} {digest.hexdigest()}", egress.FIN))
        down = self.opened(port=19)
        down.write(f"{total}\n".encode())
        data, end = down.read()
        self.assertEqual((len(data), end), (total, egress.FIN))
        self.assertEqual(hashlib.sha256(data).digest(),
                         hashlib.sha256(bytes(range(256)) * (total // 256)).digest())
        if not egress.OPTIONS:
            self.assertLess(self.egress.resident() - before, 4 << 20)

    def test_half_close_from_the_network(self):
        flow = self.opened(port=13)
        self.assertEqual(flow.read(), (b"hello", egress.FIN))
        flow.write(b"x" * 100000)
        flow.send(egress.FIN)
        self.assertEqual(flow.frame(), (None, b""))

    def test_bytes_sent_before_the_answer_wait(self):
        with self.egress.flow() as flow:
            flow.sock.sendall(egress.frame(egress.OPEN, egress.string("web.example") + b"\7\0")
                              + egress.frame(egress.DATA, b"early"))
            self.assertEqual(flow.frame(), (egress.OPENED, b""))
            self.assertEqual(flow.frame(), (egress.DATA, b"early"))

    def test_frames_cut_anywhere(self):
        flow = self.opened()
        stream = b"".join(egress.frame(egress.DATA, bytes([n])) for n in b"abcdef")
        for at in range(len(stream)):
            flow.sock.sendall(stream[at:at + 1])
        flow.send(egress.FIN)
        self.assertEqual(flow.read(), (b"abcdef", egress.FIN))

    def test_200_flows_held_and_2000_in_sequence(self):
        held = [self.opened() for _ in range(200)]
        for number, flow in enumerate(held):
            flow.write(b"%d" % number)
        for number, flow in enumerate(held):
            self.assertEqual(flow.frame(), (egress.DATA, b"%d" % number))
        begun = time.monotonic()
        for _ in range(2000):
            with self.egress.flow() as flow:
                self.assertEqual(flow.open("web.example", 7), 0)
                flow.write(b"x")
                self.assertEqual(flow.frame(), (egress.DATA, b"x"))
        self.assertLess(time.monotonic() - begun, 60)

    def test_bytes_metered_are_bytes_sent(self):
        self.egress.sandbox("meter")
        flow = self.opened(name="meter")
        for size in (1, 65536, 100000):
            flow.write(b"m" * size)
        flow.send(egress.FIN)
        data, _ = flow.read()
        self.assertEqual(len(data), 165537)
        self.egress.listen(5, lambda: self.egress.meters.get("meter") == (165537, 165537, 0)
                           and (self.egress.stats or [0, 1])[1] == 0)
        self.assertEqual(self.egress.meters["meter"], (165537, 165537, 0))
        self.assertEqual(self.egress.stats[1], 0)

    def test_bytes_per_second(self):
        self.egress.policy(rate=1 << 20)
        flow = self.opened(port=19)
        begun = time.monotonic()
        flow.write(b"3145728\n")
        data, _ = flow.read()
        self.assertEqual(len(data), 3 << 20)
        self.assertTrue(1.5 < time.monotonic() - begun < 15)

    def test_a_reset_of_the_server_comes_after_its_data(self):
        self.assertEqual(self.opened(port=1001).read(), (b"x" * 1000, egress.RST))

    def test_a_reset_of_the_sandbox_is_one_upstream(self):
        for end in ("frame", "close"):
            self.net.resets.clear()
            flow = self.opened(port=1002)
            if end == "frame":
                flow.send(egress.RST)
            flow.close()
            for _ in range(100):
                if self.net.resets:
                    break
                time.sleep(0.02)
            self.assertEqual(self.net.resets, ["rst"])


class Failures(suite.Case):
    options = ("--connect-timeout", "500")

    def test_a_closed_port(self):
        self.assertEqual(self.refusal("web.example", 4), egress.R_REFUSED)

    def test_no_answer(self):
        self.assertEqual(self.refusal(internet.DEAD), egress.R_TIMED_OUT)

    def test_no_route(self):
        internet.ip("-n", self.net.host, "route", "replace", "unreachable", "93.184.218.0/24")
        self.assertEqual(self.refusal("93.184.218.1"), egress.R_HOST)

    def test_the_next_address_is_tried(self):
        self.net.names.zone["two.example"] = [internet.DEAD, "93.184.218.1", internet.WEB]
        self.opened("two.example")

    def test_names(self):
        with self.egress.flow() as flow:
            self.assertEqual(flow.ask("web.example", 1), egress.V_EXISTS)
            self.assertEqual(flow.ask("absent.example", 2), egress.V_NXDOMAIN)
            self.assertEqual(flow.ask("empty.example", 3), egress.V_EMPTY)
            self.assertEqual(flow.ask("six.example", 4), egress.V_EXISTS)
        self.assertEqual(self.refusal("absent.example"), egress.R_NAME)
        self.assertEqual(self.refusal("empty.example"), egress.R_NAME)

    def test_one_question_for_many_askers(self):
        self.net.names.zone["many.example"] = [internet.WEB]
        self.net.names.deaf = True
        flows = [self.egress.flow() for _ in range(20)]
        for flow in flows:
            flow.send(egress.OPEN, egress.string("many.example") + b"\7\0")
        time.sleep(0.3)
        self.net.names.deaf = False
        for flow in flows:
            self.assertEqual(flow.frame(), (egress.OPENED, b""))
            flow.close()
        self.assertLessEqual(self.net.names.count("many.example"), 6)

    def test_a_dead_name_server_and_its_return(self):
        self.net.names.zone["back.example"] = [internet.WEB]
        self.net.names.deaf = True
        with self.egress.flow(timeout=30) as flow:
            self.assertEqual(flow.ask("back.example"), egress.V_FAILED)
            self.net.names.deaf = False
            time.sleep(1.1)
            self.assertEqual(flow.ask("back.example"), egress.V_EXISTS)

    def test_another_resolv_conf(self):
        """`ip netns exec` puts the file over /etc/resolv.conf."""
        folder = f"/etc/netns/{self.net.host}"
        os.makedirs(folder, exist_ok=True)
        self.addCleanup(shutil.rmtree, folder)
        with open(f"{folder}/resolv.conf", "w") as conf:
            conf.write(f"nameserver {internet.DEAD}\n")
        program = egress.Egress(self.net, resolver=False)
        self.addCleanup(program.end)
        program.sandbox()
        with open(f"{folder}/resolv.conf", "w") as conf:
            conf.write(f"nameserver {internet.NAMES}\n")
        with program.flow(timeout=30) as flow:
            self.assertEqual(flow.ask("web.example"), egress.V_FAILED)
            time.sleep(1.1)
            self.assertEqual(flow.ask("web.example"), egress.V_EXISTS)

    def test_broken_answers(self):
        names = self.net.names
        head = lambda q: q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + q[12:]
        loop = lambda q: head(q)[:12] + b"\xc0\x0c\0\1\0\1"
        for mangle in (lambda q: b"", lambda q: q[:3], lambda q: head(q) + b"\xc0\xff\0\1\0\1",
                       loop, lambda q: head(q) + b"\xc0\x0c\0\1\0\1\0\0\0\0\xff\xff",
                       lambda q: os.urandom(400), lambda q: q[:2] + os.urandom(60)):
            names.mangle = mangle
            with self.egress.flow(timeout=30) as flow:
                flow.send(egress.RESOLVE, b"\1\0\0\0" + egress.string(
                    f"b{id(mangle)}.example"))
            time.sleep(0.05)
        names.mangle = None
        self.opened()


class Many(suite.Case):
    def test_many_sandboxes_at_once(self):
        done = []

        def one(number):
            self.egress.sandbox(f"many{number}")
            for _ in range(20):
                with self.egress.flow(f"many{number}") as flow:
                    assert flow.open("web.example", 7) == 0
                    flow.write(b"x" * 5000)
                    flow.send(egress.FIN)
                    data, end = flow.read()
                    assert (len(data), end) == (5000, egress.FIN)
            done.append(number)

        threads = [threading.Thread(target=one, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(done), 10)
