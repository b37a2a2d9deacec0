# SPDX-License-Identifier: Apache-2.0
"""What the server shows to somebody who opens its address."""
import re

from corraltest import ApiTest

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Pages(ApiTest):
    def get(self, path, headers):
        return self.api.request("GET", path, headers={"Authorization": "", **headers}, prefix="")

    def test_a_program_gets_json(self):
        body = self.assert_json(self.get("/", {}), 200)
        self.assert_keys(body, {"name", "version", "docs", "openapi", "health"})
        for name in ("docs", "openapi", "health"):
            self.assertEqual(self.get(body[name], {}).status, 200, name)

    def test_a_person_gets_a_page(self):
        answer = self.get("/", BROWSER)
        self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
        for link in re.findall(r'href="([^"]*)"', answer.body.decode()):
            self.assertEqual(self.get(link, BROWSER).status, 200, link)

    def test_docs_name_every_route_and_need_nothing_else(self):
        answer = self.get("/docs", BROWSER)
        page = answer.body.decode("ascii")
        document = self.get("/openapi.json", {}).json
        for path, methods in document["paths"].items():
            for operation in methods.values():
                self.assertIn(f'id="{operation["operationId"]}"', page, path)
        self.assertEqual(re.findall(r"<(?:script|img|link|iframe)|https?://|@import|url\(", page), [])
        self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])


if __name__ == "__main__":
    import unittest
    unittest.main()
