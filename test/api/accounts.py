# SPDX-License-Identifier: Apache-2.0
"""People for tests: users made with `corrald user`, signed in over HTTP, from any address."""
import http.client
import json

from corraltest import Answer, ApiTest, Client, patience

AUTH = "/api/v1/auth"
ENVIRONMENTS = "/api/v1/sandbox/environments"
WORKFLOWS = "/api/v1/orchestrator/workflows"
PASSWORD = "correct horse battery"


class Person(Client):
    """A client whose paths are whole and whose credential is an access token."""

    def request(self, method, path, body=None, headers=None, timeout=60, prefix=""):
        return super().request(method, path, body, headers, timeout, prefix)


def user(server, *arguments, password=PASSWORD):
    """Runs `corrald user` on the server's state."""
    return server.run("user", *arguments, text=password + "\n")


def post_from(address, port, path, body, content_type="application/json"):
    """A POST from one address of this machine, so that one test's failures do not slow another."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience(60),
                                            source_address=(address, 0))
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", path, data, {"Content-Type": content_type})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class AccountTest(ApiTest):
    @classmethod
    def prepare(cls):
        cls.nobody = Person(cls.server.port, None)

    def make_user(self, name, role="developer", account="team"):
        done = user(self.server, "create", name, "--role", role, "--account", account,
                    "--password-stdin")
        self.assertEqual(done.returncode, 0, done.stderr)
        return name

    def sign_in(self, name, password=PASSWORD):
        answer = self.nobody.post(AUTH + "/token", {"username": name, "password": password})
        return self.assert_json(answer, 200)

    def person(self, name, role="developer", account="team"):
        """A new user, signed in."""
        self.make_user(name, role, account)
        return Person(self.server.port, self.sign_in(name)["access_token"])
