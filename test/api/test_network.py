# SPDX-License-Identifier: Apache-2.0
"""The network of sandboxes, end to end: programs in a sandbox, its policy, and what the server tells.
A namespace of the suite's own plays the internet."""
import json
import os
import re
import time
import unittest

import corraltest
import internet_host
from corraltest import HOST, wait_until
from hosts import patience

internet = internet_host.internet
OWN = "10.0.2.15"  # the address of the emulated host

# One connection and what became of it, as errno's name.
CONNECT = """
import errno, os, socket, sys, time
def connect(host, port, seconds=20):
    try:
        s = socket.create_connection((host, port), seconds)
        try:
            s.getpeername()
        except OSError:
            s.recv(1)  # refused, and told so too early: see show_refusal in the agent's tcpflow.c
        s.close()
        return "open"
    except socket.gaierror as e:
        return {-2: "NONAME", -3: "AGAIN", -5: "NODATA"}.get(e.errno, e.errno)
    except socket.timeout:
        return "time-out"
    except OSError as e:
        return errno.errorcode.get(e.errno, e.errno)
"""


@unittest.skipIf(os.geteuid() != 0, "network namespaces need root")
class NetworkTest(corraltest.ApiTest):
    kind = internet_host.NetServer

    @classmethod
    def prepare(cls):
        cls.net = cls.server.net
        cls.shared = cls.api.create(timeout=3600)["sandbox_id"]

    def python(self, code, sandbox=None, **fields):
        answer = self.api.run(sandbox or self.shared, "python3", args=["-c", CONNECT + code],
                              **fields)
        self.assertEqual(answer["exit_code"], 0, answer)
        return answer["stdout"].strip()

    def connect(self, host, port, sandbox=None):
        return self.python(f"print(connect({host!r}, {port}))", sandbox)

    def events(self, sandbox):
        answer = self.api.get(f"/sandboxes/{sandbox}/network/events")
        return self.assert_json(answer, 200)["events"]

    def put(self, sandbox, **policy):
        return self.api.request("PUT", f"/sandboxes/{sandbox}/network", policy)

    def metrics(self, sandbox):
        return self.api.get(f"/sandboxes/{sandbox}/metrics").json


class Flows(NetworkTest):
    def test_by_name_and_by_address(self):
        self.assertEqual(self.connect("web.example", 7), "open")
        self.assertEqual(self.connect(internet.WEB, 7), "open")

    def test_an_ordinary_machine(self):
        text = self.api.run(self.shared, "sh", args=[
            "-c", "cat /etc/resolv.conf /etc/hosts; cat /proc/net/route /proc/net/dev"])["stdout"]
        self.assertIn("nameserver 198.18.0.53", text)
        self.assertIn("127.0.0.1", text)
        self.assertRegex(text, r"eth0\s+00000000\s")  # the default route
        self.assertEqual(len(re.findall(r"^\s*(?:eth|lo)\w*:", text, re.M)), 2)

    def test_closed_ports_refuse(self):
        self.assertEqual(self.connect("web.example", 81), "ECONNREFUSED")
        self.assertEqual(self.connect(internet.WEB, 81), "ECONNREFUSED")

    def test_errors_have_names(self):
        self.assertEqual(self.connect("nowhere.example", 80), "NONAME")
        self.assertEqual(self.connect("2606:2800:220::10", 80), "ENETUNREACH")
        self.assertEqual(
            self.python("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                        f"s.connect(({internet.WEB!r}, 443)); s.send(b'x'); time.sleep(0.3)\n"
                        "try: s.send(b'x'); print('sent')\n"
                        "except OSError as e: print(errno.errorcode[e.errno])"), "ECONNREFUSED")

    def test_bytes_both_ways_and_their_meter(self):
        sandbox = self.create()
        before = self.metrics(sandbox)
        self.assertEqual((before["network_rx"], before["network_tx"]), (0, 0))
        total = 16 << 20
        said = self.python(
            "import hashlib\n"
            "s = socket.create_connection(('web.example', 9)); d = hashlib.sha256()\n"
            f"piece = bytes(range(256)) * 4096\n"
            f"for _ in range({total >> 20}): s.sendall(piece); d.update(piece)\n"
            "s.shutdown(socket.SHUT_WR); a = s.makefile('rb').read().decode(); s.close()\n"
            f"assert a == '{total} ' + d.hexdigest(), a\n"
            "s = socket.create_connection(('web.example', 19))\n"
            f"s.sendall(b'{total}\\n'); n = len(s.makefile('rb').read()); print(n, len(a))", sandbox)
        received, answer = map(int, said.split())
        self.assertEqual(received, total)
        want = (total + answer, total + len(str(total)) + 1)
        wait_until(lambda: (self.metrics(sandbox)["network_rx"],
                            self.metrics(sandbox)["network_tx"]) == want, 5, "the meter agrees")
        self.api.run(sandbox, "head", args=["-c", "100000", "/dev/zero"])
        self.assertEqual(self.metrics(sandbox)["network_rx"], want[0])  # the API's bytes do not count

    def test_200_at_once(self):
        self.assertEqual(self.python(
            "all = [socket.create_connection(('web.example', 7), 30) for _ in range(200)]\n"
            "for s in all: s.sendall(b'x')\n"
            "print(sum(s.recv(1) == b'x' for s in all))"), "200")

    def test_a_reset_travels(self):
        self.assertEqual(self.python(
            "s = socket.create_connection(('web.example', 1001)); n = 0\n"
            "try:\n"
            "    while data := s.recv(65536): n += len(data)\n"
            "    print('end')\n"
            "except ConnectionResetError: print(n, 'reset')"), "1000 reset")

    @unittest.skipIf(corraltest.ISOLATION == "kvm", "anybody in a microVM may speak vsock: the policy "
                     "is the host's")
    def test_the_user_cannot_reach_the_socket(self):
        self.assertEqual(self.python(
            "s = socket.socket(socket.AF_UNIX)\n"
            "try: s.connect('/opt/corral-net/egress.sock'); print('open')\n"
            "except OSError as e: print(errno.errorcode[e.errno])"), "EACCES")

    def test_idle_nobody_wakes_up(self):
        """A flow stands open meanwhile. In a microVM, the guest's own kernel and programs may have
        timers: of its process only the threads count that are not the guest's processor."""
        sandbox = self.create()
        self.api.run(sandbox, "sh", args=["-c", "python3 -c \"" + (
            "import socket, time; s = socket.create_connection(('web.example', 7))\n"
            "open('/tmp/up', 'w').close(); s.recv(1)") +
            "\" >/dev/null 2>&1 & while [ ! -e /tmp/up ]; do sleep 0.05; done"])
        pids = [self.server.egress(), next(
            pid for pid, text in HOST.processes() if sandbox in text
            and re.match(r"\S*corral-(agent|vmm) ", text))]

        def quiet_outside():
            before = [self.switches(pid) for pid in pids]
            time.sleep(2)
            return before == [self.switches(pid) for pid in pids]
        wait_until(quiet_outside, 30, "two seconds in which none of them runs")
        read = "cat /proc/1/task/*/status | grep ^voluntary"

        def quiet_inside():
            return self.api.run(sandbox, "sh", args=[
                "-c", f"a=$({read}); sleep 2; b=$({read}); [ -n \"$a\" ] && [ \"$a\" = \"$b\" ]; echo $?"
            ])["stdout"] == "0\n"
        wait_until(quiet_inside, 30, "two seconds in which the agent does not run")

    @staticmethod
    def switches(pid):
        """How often each thread that is not a processor of a guest has gone to sleep."""
        found = {task: HOST.read(f"/proc/{pid}/task/{task}/status").decode()
                 for task in HOST.list(f"/proc/{pid}/task")}
        return {task: re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1]
                for task, text in found.items() if not text.startswith("Name:\tvcpu")}

    def test_counters_of_the_server(self):
        self.connect("web.example", 7)
        self.connect("169.254.169.254", 80)

        def counted():
            text = self.api.get("/metrics", prefix="").body.decode()
            found = dict(re.findall(r"^(corral_egress\S+) (\d+)$", text, re.M))
            return (int(found["corral_egress_up"]) == 1
                    and int(found["corral_egress_flows_total"]) > 0
                    and int(found["corral_egress_lookups_total"]) > 0
                    and int(found['corral_egress_denied_total{reason="floor"}']) > 0)
        wait_until(counted, 5, "the counters show flows, lookups and denials")


class Policy(NetworkTest):
    options = ("--egress-allow", "203.0.113.7", "--egress-deny", "operator.example")

    def test_the_floor(self):
        for host in ("10.1.2.3", "169.254.169.254", "100.100.100.200", "168.63.129.16"):
            self.assertEqual(self.connect(host, 80), "EHOSTUNREACH", host)
        for host in ("private.example", "meta.example"):
            self.assertEqual(self.connect(host, 80), "NONAME", host)
        told = {(e["host"], e["reason"]) for e in self.events(self.shared)}
        self.assertLessEqual({("10.1.2.3", "floor"), ("private.example", "floor")}, told)
        self.assertEqual(self.connect("127.0.0.1", 80), "ECONNREFUSED")  # the sandbox's own

    def test_a_tenant_cannot_lift_the_floor(self):
        sandbox = self.create(network={"allow": ["*", "10.0.0.0/8", "169.254.169.254:80"]})
        self.assertEqual(self.connect("169.254.169.254", 80, sandbox), "EHOSTUNREACH")
        self.assertEqual(self.connect("private.example", 80, sandbox), "NONAME")

    def test_the_operator_lifts_it(self):
        server = self.net.serve("203.0.113.7", 7, internet.echo)
        self.addCleanup(server.sock.close)
        self.assertEqual(self.connect("203.0.113.7", 7), "open")

    def test_only_what_is_allowed(self):
        sandbox = self.create(network={"default": "deny", "allow": [
            "*.web.example", {"host": "dead.example", "ports": [80]}]})
        self.assertEqual(self.connect("www.web.example", 7, sandbox), "open")
        self.assertEqual(self.connect("web.example", 7, sandbox), "NONAME")
        self.assertEqual(self.connect(internet.WEB, 7, sandbox), "EHOSTUNREACH")
        asked = self.net.names.count("secret.other.example")
        self.assertEqual(self.connect("secret.other.example", 80, sandbox), "NONAME")
        self.assertEqual(self.net.names.count("secret.other.example"), asked)
        event = next(e for e in self.events(sandbox) if e["host"] == "secret.other.example")
        self.assertEqual((event["event"], event["reason"], event["address"]),
                         ("name_denied", "default", None))

    def test_no_internet_access(self):
        sandbox = self.create(internet_access=False)
        self.assertEqual(self.connect(internet.WEB, 7, sandbox), "EHOSTUNREACH")
        policy = self.assert_json(self.api.get(f"/sandboxes/{sandbox}/network"), 200)
        self.assertEqual((policy["default"], policy["allow"]), ("deny", []))
        created = self.api.create(internet_access=True)
        self.addCleanup(self.api.delete, f"/sandboxes/{created['sandbox_id']}")
        self.assert_keys(created, corraltest.SANDBOX_KEYS, {"ended_at"})

    def test_a_change_cuts_what_it_denies(self):
        sandbox = self.create()
        self.api.run(sandbox, "sh", args=["-c", "python3 -c \"" + (
            "import socket,time; s=socket.create_connection(('web.example',7)); "
            "open('/tmp/up','w').close()\n"
            "try: print(s.recv(1))\n"
            "except OSError as e: open('/tmp/cut','w').write(str(time.time()))") +
            "\" >/dev/null 2>&1 & while [ ! -e /tmp/up ]; do sleep 0.05; done"])
        start = HOST.clock()
        self.assert_json(self.put(sandbox, deny=["web.example"]), 200)
        said = self.api.run(sandbox, "sh", args=[
            "-c", "while [ ! -s /tmp/cut ]; do sleep 0.05; done; cat /tmp/cut"])["stdout"]
        self.assertLess(float(said) - start, patience(1))
        # The sandbox may know the name from before.
        self.assertIn(self.connect("web.example", 7, sandbox), ("NONAME", "EHOSTUNREACH"))
        self.assert_json(self.put(sandbox), 200)

        def works():
            return self.connect("web.example", 7, sandbox) == "open"
        wait_until(works, 1, "an allowed name works again without a restart")

    def test_a_lifted_denial_is_not_remembered(self):
        """Neither of a name that was never known nor of one that was."""
        sandbox = self.create(network={"default": "deny"})
        for policy in ({"allow": ["web.example"]}, {"allow": ["web.example"], "deny": ["*"]}):
            for _ in range(3):
                self.assertIn(self.connect("web.example", 7, sandbox), ("NONAME", "EHOSTUNREACH"))
            self.assert_json(self.put(sandbox, default="deny", **policy), 200)
            wait_until(lambda: self.connect("web.example", 7, sandbox) == "open", 1,
                       "what is allowed works at once")
            self.assert_json(self.put(sandbox, default="deny"), 200)

    def test_faults_name_the_entry(self):
        for policy, word in (({"allow": ["10.0.0.1/8"]}, "10.0.0.1/8"), ({"alow": []}, "alow"),
                             ({"transforms": [{"host": "a.b"}]}, "headers"),
                             ({"limits": {"flows": 100000}}, "flows")):
            message = self.assert_error(self.put(self.shared, **policy), 400, "invalid_argument")
            self.assertIn(word, message)
            answer = self.api.post("/sandboxes", {"provider": "t", "region": "h",
                                                  "network": policy})
            self.assertIn(word, self.assert_error(answer, 400, "invalid_argument"))

    def test_the_operator_denies(self):
        self.net.names.zone["operator.example"] = [internet.WEB]
        self.assertEqual(self.connect("operator.example", 7), "NONAME")

    def test_flows_are_limited(self):
        sandbox = self.create(network={"limits": {"flows": 3}})
        self.assertEqual(self.python(
            "have = []\n"
            "try:\n"
            "    while len(have) < 10: have.append(socket.create_connection(('web.example', 7)))\n"
            "except OSError as e: print(len(have), errno.errorcode[e.errno])", sandbox),
            "3 EHOSTUNREACH")

    def test_the_pool_has_no_network_before_its_claim(self):
        """A sandbox of the pool has no socket; a claimed one has."""
        folder, socket = ("", "vsock.sock_1025") if corraltest.ISOLATION == "kvm" else (
            "/net", "egress.sock")

        def sockets():
            return {name: socket in HOST.list(f"{self.server.state}/sandboxes/{name}{folder}")
                    for name in self.server.directories()}
        wait_until(lambda: False in sockets().values(), 60, "a sandbox in the pool")
        self.assertTrue(sockets()[self.shared])


class Restart(NetworkTest):
    def test_the_process_comes_back(self):
        pid = self.server.egress()
        self.assertIsNotNone(pid)
        HOST.kill(pid)
        wait_until(lambda: self.server.egress() not in (None, pid), 10, "another corral-egress")
        wait_until(lambda: self.connect("web.example", 7) == "open", 20, "new flows work")
        self.assertIn("corral-egress is lost", self.server.log())

    def test_a_new_server_gives_it_back(self):
        sandbox = self.create(network={"default": "deny", "allow": ["web.example"]})
        self.python("s = socket.create_connection(('web.example', 19))\n"
                    "s.sendall(b'5000\\n'); print(len(s.makefile('rb').read()))", sandbox)
        wait_until(lambda: self.metrics(sandbox)["network_rx"] == 5000, 5, "it is metered")
        address = self.python("print(socket.gethostbyname('web.example'))", sandbox)
        self.assertEqual(self.server.stop(), 0)
        self.assertIsNone(self.running_egress())
        self.server.start()
        type(self).api = self.server.client
        self.assertEqual(self.metrics(sandbox)["network_rx"], 5000)
        wait_until(lambda: self.connect("web.example", 7, sandbox) == "open", 20, "flows work")
        self.assertEqual(self.python("print(socket.gethostbyname('web.example'))", sandbox), address)
        self.assertEqual(self.connect(internet.WEB, 9, sandbox), "EHOSTUNREACH")
        policy = self.api.get(f"/sandboxes/{sandbox}/network").json
        self.assertEqual((policy["default"], policy["allow"]), ("deny", ["web.example"]))

    def running_egress(self):
        found = [text for _, text in HOST.processes()
                 if "corral-egress" in text and self.server.state in text]
        return found or None


class OwnServer(corraltest.Server):
    """Its sandboxes may connect to the server itself."""

    def __init__(self, options=(), build=None):
        super().__init__(options, build)
        self.options += ["--egress-allow", f"{OWN}:{self.port},{OWN}:1"]


@unittest.skipUnless(corraltest.HOST.address == "0.0.0.0", "the server is on the loopback alone")
class Own(corraltest.ApiTest):
    """The emulated host has no internet, but a server: corrald."""
    kind = OwnServer
    connect, python = NetworkTest.connect, NetworkTest.python

    @classmethod
    def prepare(cls):
        cls.shared = cls.api.create(timeout=3600)["sandbox_id"]

    def test_to_the_server_and_no_further(self):
        text = self.python("import urllib.request as r\n"
                           f"print(r.urlopen('http://{OWN}:{self.server.port}/health').read())")
        self.assertIn('"status":"ok"', text)
        self.assertEqual(self.connect(OWN, 1), "ECONNREFUSED")
        self.assertEqual(self.connect(OWN, 2), "EHOSTUNREACH")
        events = self.api.get(f"/sandboxes/{self.shared}/network/events").json["events"]
        self.assertEqual((events[-1]["host"], events[-1]["reason"]), (OWN, "floor"))
        answer = self.api.request("PUT", f"/sandboxes/{self.shared}/network", {"deny": ["*"]})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.connect(OWN, self.server.port), "EHOSTUNREACH")
        wait_until(lambda: self.api.get(f"/sandboxes/{self.shared}/metrics").json["network_rx"] > 0,
                   5, "bytes are metered")


class Off(corraltest.ApiTest):
    options = ("--egress", "off")

    def test_as_without_a_network(self):
        sandbox = self.create(internet_access=False)
        text = self.api.run(sandbox, "cat", args=["/proc/net/dev"])["stdout"]
        self.assertEqual(re.findall(r"^\s*(\w+):", text, re.M), ["lo"])
        self.assert_error(self.api.get(f"/sandboxes/{sandbox}/network"), 400, "invalid_state")
        answer = self.api.post("/sandboxes", {"provider": "t", "region": "h", "network": {}})
        self.assert_error(answer, 400, "invalid_state")
        self.assertEqual(json.loads(self.api.get(f"/sandboxes/{sandbox}/network/events").body),
                         {"events": [], "dropped": 0})
