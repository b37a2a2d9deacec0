# SPDX-License-Identifier: Apache-2.0
"""What the tests of E2B's packages share: a server, and the variables that lead the packages to it.

The suite installs the packages into an environment of its own (CORRAL_TEST_SDK names it).
"""
import http.client
import os

from corraltest import ApiTest, patience  # noqa: F401

from e2b_code_interpreter import Sandbox

KEYS = ("E2B_API_URL", "E2B_SANDBOX_URL", "E2B_API_KEY")


class SdkTest(ApiTest):
    build = "release"
    options = ("--pool-size", "1")

    @classmethod
    def prepare(cls):
        base = f"http://127.0.0.1:{cls.server.port}"
        os.environ.update(dict(zip(KEYS, (base, base, cls.server.key))))

    def make(self, kind=Sandbox, **options):
        sandbox = kind.create(**{"timeout": 300, **options})
        self.addCleanup(sandbox.kill)
        return sandbox

    def raw(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
