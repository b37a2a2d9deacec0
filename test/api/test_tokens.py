# SPDX-License-Identifier: Apache-2.0
"""Users and their tokens: sign in, refresh, revoke, forged tokens, guessed passwords."""
import base64
import hmac
import json
import subprocess
import urllib.parse

from accounts import AUTH, ENVIRONMENTS, AccountTest, Person, post_from, user
from corraltest import HOST, not_emulated

KEYS = {"access_token", "token_type", "expires_in", "refresh_token"}


def encode(data):
    if not isinstance(data, bytes):
        data = json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Users(AccountTest):
    def test_commands_beside_the_server(self):
        self.make_user("zoe", "viewer", "zoo")
        again = user(self.server, "create", "zoe", "--password-stdin")
        self.assertEqual(again.returncode, 1)
        self.assertIn("exists", again.stderr)
        listed = user(self.server, "list").stdout
        self.assertRegex(listed, r"zoe +viewer +zoo +\d{4}-")
        self.sign_in("zoe")
        self.assertEqual(user(self.server, "delete", "zoe").returncode, 0)
        answer = post_from("127.0.0.20", self.server.port, AUTH + "/token",
                           {"username": "zoe", "password": "correct horse battery"})
        self.assert_error(answer, 401, "unauthorized")

    def test_bad_commands(self):
        for arguments in ((), ("create",), ("create", "a b"), ("create", "x", "--role", "king"),
                          ("create", "x"), ("delete", "nobody"), ("passwd", "nobody"),
                          ("create", "x", "y"), ("list", "x"), ("frob", "x")):
            with self.subTest(arguments=arguments):
                done = user(self.server, *arguments)
                self.assertEqual(done.returncode, 1, done)
                self.assertTrue(done.stderr.startswith("corrald: "), done.stderr)
        short = user(self.server, "create", "x", "--password-stdin", password="short")
        self.assertIn("8 to 1024", short.stderr)

    def test_without_a_server(self):
        self.server.stop()
        self.make_user("offline")
        self.server.start()
        self.sign_in("offline")

    def test_a_new_password_ends_old_tokens(self):
        person = self.person("pat")
        self.assertEqual(person.get(ENVIRONMENTS).status, 200)
        self.assertEqual(user(self.server, "passwd", "pat", "--password-stdin",
                              password="another password").returncode, 0)
        self.assert_error(person.get(ENVIRONMENTS), 401, "unauthorized")
        self.sign_in("pat", "another password")

    def test_a_deleted_user(self):
        person = self.person("gone")
        self.assertEqual(user(self.server, "delete", "gone").returncode, 0)
        self.assert_error(person.get(ENVIRONMENTS), 401, "unauthorized")
        self.make_user("gone")
        self.assert_error(person.get(ENVIRONMENTS), 401, "unauthorized")


class Tokens(AccountTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        done = user(cls.server, "create", "ann", "--account", "team", "--password-stdin")
        assert done.returncode == 0, done.stderr

    def works(self, token, path=ENVIRONMENTS):
        return Person(self.server.port, token).get(path).status

    def test_shape(self):
        got = self.sign_in("ann")
        self.assert_keys(got, KEYS)
        self.assertEqual(got["token_type"], "bearer")
        header, claims, _ = got["access_token"].split(".")
        self.assertEqual(json.loads(decode(header))["alg"], "ES256")
        self.assertTrue(json.loads(decode(header))["kid"])
        claims = json.loads(decode(claims))
        self.assertEqual(set(claims), {"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "account",
                                       "role"})
        self.assertEqual((claims["sub"], claims["account"], claims["role"]),
                         ("ann", "team", "developer"))
        self.assertEqual(claims["exp"] - claims["nbf"], got["expires_in"])

    def test_both_apis(self):
        token = self.sign_in("ann")["access_token"]
        for path in (ENVIRONMENTS, "/v1/agents/sandboxes", "/templates"):
            self.assertEqual(self.works(token, path), 200)
            self.assertEqual(self.works(self.server.key, path), 200)

    def test_form_encoding(self):
        body = urllib.parse.urlencode({"grant_type": "password", "username": "ann",
                                       "password": "correct horse battery"}).encode()
        answer = self.nobody.post(AUTH + "/token", body, headers={
            "Content-Type": "application/x-www-form-urlencoded"})
        self.assert_keys(self.assert_json(answer, 200), KEYS)

    def test_bad_requests(self):
        for body in (b"", b"{", b"[]", b'{"username":1,"password":"x"}', b'{"username":"ann"}',
                     b'{"grant_type":"magic"}', b'{"grant_type":"refresh_token"}'):
            with self.subTest(body=body):
                self.assertEqual(self.nobody.post(AUTH + "/token", body).status, 400)
        self.assertEqual(self.nobody.post(AUTH + "/token", b"x" * 200000).status, 413)
        for path in ("/refresh", "/revoke"):
            self.assertEqual(self.nobody.post(AUTH + path, {}).status, 400)

    def test_refresh_tokens_work_once(self):
        first = self.sign_in("ann")
        second = self.assert_json(self.nobody.post(AUTH + "/refresh", {
            "refresh_token": first["refresh_token"]}), 200)
        self.assert_keys(second, KEYS)
        self.assertEqual(self.works(second["access_token"]), 200)
        again = self.nobody.post(AUTH + "/token", {"grant_type": "refresh_token",
                                                   "refresh_token": first["refresh_token"]})
        self.assert_error(again, 401, "unauthorized")
        self.assertEqual(self.works(second["access_token"]), 401, "the session should have ended")
        self.assertEqual(self.nobody.post(AUTH + "/refresh", {
            "refresh_token": second["refresh_token"]}).status, 401)

    def test_revoke(self):
        for which in ("access_token", "refresh_token"):
            got, other = self.sign_in("ann"), self.sign_in("ann")
            answer = self.nobody.post(AUTH + "/revoke", {"token": got[which]})
            self.assert_keys(self.assert_json(answer, 200), {"message"})
            self.assertEqual(self.works(got["access_token"]), 401)
            self.assertEqual(self.nobody.post(AUTH + "/refresh", {
                "refresh_token": got["refresh_token"]}).status, 401)
            self.assertEqual(self.works(other["access_token"]), 200)
        self.assertEqual(self.nobody.post(AUTH + "/revoke", {"token": "nonsense"}).status, 200)

    def test_tokens_outlive_a_restart(self):
        got, revoked = self.sign_in("ann"), self.sign_in("ann")
        self.nobody.post(AUTH + "/revoke", {"token": revoked["access_token"]})
        self.server.kill()
        self.server.start()
        self.assertEqual(self.works(got["access_token"]), 200)
        self.assertEqual(self.works(revoked["access_token"]), 401)

    def test_two_signing_keys_are_accepted(self):
        admin = Person(self.server.port, self.server.key)
        token = self.sign_in("ann")["access_token"]
        kids = [admin.post("/v1/admin/tokens/rotate").json["kid"]]
        self.assertEqual(self.works(token), 200)
        newer = self.sign_in("ann")["access_token"]
        self.assertEqual(json.loads(decode(newer.split(".")[0]))["kid"], kids[0])
        kids.append(admin.post("/v1/admin/tokens/rotate").json["kid"])
        self.assertEqual((self.works(token), self.works(newer)), (401, 200))
        self.server.kill()
        self.server.start()
        self.assertEqual((self.works(token), self.works(newer)), (401, 200))
        self.assertEqual(len(set(kids)), 2)

    def test_forged_tokens(self):
        token = self.sign_in("ann")["access_token"]
        header, claims, signature = token.split(".")
        head, body = json.loads(decode(header)), json.loads(decode(claims))
        public = self.public_key_text()

        def with_alg(alg, secret):
            text = encode({**head, "alg": alg}) + "." + claims
            digest = {"HS256": "sha256", "HS512": "sha512"}[alg]
            return text + "." + encode(hmac.new(secret, text.encode(), digest).digest())

        def changed(**more):
            return f"{header}.{encode({**body, **more})}.{signature}"

        tail = "AQgw"
        forged = {
            "alg none": encode({**head, "alg": "none"}) + "." + claims + ".",
            "alg none with the signature": encode({**head, "alg": "none"}) + f".{claims}.{signature}",
            "alg None": encode({**head, "alg": "None"}) + f".{claims}.{signature}",
            "HS256 with an empty secret": with_alg("HS256", b""),
            "HS256 with the public key": with_alg("HS256", public),
            "HS512 with the kid": with_alg("HS512", head["kid"].encode()),
            "another role": changed(role="admin"),
            "another account": changed(account="other"),
            "another user": changed(sub="root"),
            "a later end": changed(exp=body["exp"] + 1000000),
            "an early end": changed(exp=1),
            "not yet": changed(nbf=body["nbf"] + 100000),
            "another session": changed(jti="A" * 16 + ".x"),
            "another audience": changed(aud="else"),
            "another kid": encode({**head, "kid": "XXXXXXXX"}) + f".{claims}.{signature}",
            "no kid": encode({"alg": "ES256", "typ": "JWT"}) + f".{claims}.{signature}",
            "a signature of zeros": f"{header}.{claims}." + encode(bytes(64)),
            "a changed signature": f"{header}.{claims}.{'B' if signature[0] != 'B' else 'C'}"
                                   + signature[1:],
            "another last character": token[:-1] + chr(ord(token[-1]) + 1),
            "signed with another key": self.signed_elsewhere(f"{header}.{claims}"),
            "no signature": f"{header}.{claims}.",
            "two parts": f"{header}.{claims}",
            "four parts": token + ".x",
            "cut": token[:-10],
            "cut in the claims": token[:len(header) + 20],
            "doubled": token + token,
            "padded": token + "==",
            "spaces": token[:20] + " " + token[20:],
            "empty claims": f"{header}.{encode(b'')}.{signature}",
            "claims that are a list": f"{header}.{encode([])}.{signature}",
            "header that is no JSON": encode(b"xx") + f".{claims}.{signature}",
            "dots": "...", "a dot": ".",
            "long": token + "A" * 5000,
            "bytes": token[:50] + "\xe9" + token[50:],
        }
        self.assertIn(token[-1], tail)
        self.assertGreaterEqual(len(forged), 20)
        for name, text in forged.items():
            with self.subTest(name):
                answer = Person(self.server.port, text).get(ENVIRONMENTS)
                self.assert_error(answer, 401, "unauthorized")
                self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer")
        self.assertEqual(self.works(token), 200)

    def public_key_text(self):
        """The public key as the server keeps it, found in its database as anyone with a copy would."""
        data = HOST.read(f"{self.server.state}/db/data.mdb")
        start = data.rindex(b"-----BEGIN PUBLIC KEY-----")
        end = data.index(b"-----END PUBLIC KEY-----\n", start)
        return data[start:end] + b"-----END PUBLIC KEY-----\n"

    def signed_elsewhere(self, text):
        """Signed as it should be, with a P-256 key of the test's own."""
        key = subprocess.run(["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout"],
                             capture_output=True, check=True).stdout
        path = f"{self.server.dir}/other.pem"
        with open(path, "wb") as f:
            f.write(key)
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", path], input=text.encode(),
                             capture_output=True, check=True).stdout
        r_len = der[3]
        r, s = der[4:4 + r_len], der[6 + r_len:]
        raw = b"".join(int.from_bytes(n, "big").to_bytes(32, "big") for n in (r, s))
        return f"{text}.{encode(raw)}"

    def test_a_token_of_a_megabyte(self):
        token = self.sign_in("ann")["access_token"]
        answer = Person(self.server.port, token + "A" * 1000000).get(ENVIRONMENTS)
        self.assertEqual(answer.status, 431)
        answer = self.nobody.post(AUTH + "/revoke", {"token": "A" * 1000000})
        self.assertEqual(answer.status, 413)


@not_emulated("every client has the address of the emulated network's gateway")
class Guessing(AccountTest):
    @classmethod
    def prepare(cls):
        super().prepare()
        for name in ("ann", "bob"):
            user(cls.server, "create", name, "--password-stdin")

    def attempt(self, address, name, password="wrong password"):
        return post_from(address, self.server.port, AUTH + "/token",
                         {"username": name, "password": password})

    def test_a_user_is_slowed_whoever_asks(self):
        messages = []
        for name, base in (("ann", 30), ("nobody-here", 40)):
            for i in range(5):
                answer = self.attempt(f"127.0.0.{base + i}", name)
                messages.append(self.assert_error(answer, 401, "unauthorized"))
            answer = self.attempt(f"127.0.0.{base + 9}", name)
            messages.append(self.assert_error(answer, 429, "rate_limited"))
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        self.assertEqual(messages[:6], messages[6:], "it tells whether a user exists")
        right = self.attempt("127.0.0.60", "ann", "correct horse battery")
        self.assertEqual(right.status, 429)

    def test_an_address_is_slowed_whoever_it_names(self):
        for i in range(5):
            self.assertEqual(self.attempt("127.0.0.70", f"user-{i}").status, 401)
        self.assertEqual(self.attempt("127.0.0.70", "user-6").status, 429)
        self.assertEqual(self.attempt("127.0.0.71", "bob", "correct horse battery").status, 200)
