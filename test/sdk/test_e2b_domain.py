# SPDX-License-Identifier: Apache-2.0
"""E2B_DOMAIN alone: HTTPS to names below one domain, with a certificate of an authority of our own.

The domain lies below "localhost": the packages' transport takes every such name for this machine, and
a certificate may not be for all names below a domain without a dot."""
import os
import shutil
import ssl
import subprocess
import sys
import unittest

from sdktest import ApiTest
from test_tls import OPENSSL, TlsServer

DOMAIN = "box.localhost"
PROGRAM = """
from e2b_code_interpreter import Sandbox
with Sandbox.create(timeout=120) as sandbox:
    print(sandbox.commands.run("echo by name").stdout, end="")
    sandbox.files.write("f", "text")
    print(sandbox.files.read("f"))
    print(sandbox.run_code("6*7").text)
    print(sandbox.get_host(3000) == f"3000-{sandbox.sandbox_id}.WHERE")
"""


def make_authority(folder):
    """An authority, and a certificate that it has signed for all names below the domain."""
    def openssl(*arguments):
        subprocess.run([OPENSSL, *arguments], check=True, capture_output=True, cwd=folder)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-days", "2", "-out", "ca.crt", "-keyout", "ca.key", "-subj",
            "/CN=our own", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *key, "-out", "name.csr", "-keyout", "name.key", "-subj", "/CN=localhost")
    with open(f"{folder}/names", "w", encoding="ascii") as f:
        f.write(f"subjectAltName=DNS:*.{DOMAIN},IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "name.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "name.crt")


class DomainServer(TlsServer):
    def __init__(self, options=(), build=None):
        super().__init__(options, build)
        make_authority(self.dir)
        for suffix, target in zip(("crt", "key"), self.pair):
            shutil.copy(f"{self.dir}/name.{suffix}", target)
        self.context = ssl.create_default_context(cafile=f"{self.dir}/ca.crt")


@unittest.skipUnless(OPENSSL, "openssl is not installed")
class TestDomain(ApiTest):
    build = "release"
    kind = DomainServer
    options = ("--domain", DOMAIN)

    def test_names_and_certificate(self):
        where = f"{DOMAIN}:{self.server.port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("E2B_")}
        environment.update(E2B_DOMAIN=where, E2B_API_KEY=self.server.key,
                           SSL_CERT_FILE=f"{self.server.dir}/ca.crt")
        done = subprocess.run([sys.executable, "-c", PROGRAM.replace("WHERE", where)],
                              env=environment, capture_output=True, text=True, timeout=120,
                              check=False)
        self.assertEqual(done.stdout, "by name\ntext\n42\nTrue\n", done.stderr[-2000:])
