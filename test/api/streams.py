# SPDX-License-Identifier: Apache-2.0
"""Clients of streams for tests: server-sent events over a plain socket, with the moment at which each
came, and whether the body ended as HTTP wants it."""
import json
import socket
import time

from corraltest import PREFIX, patience


class Stream:
    """One request whose answer is read as it comes. `events` yields (seconds since the request,
    number or None, document); comments are counted."""

    def __init__(self, client, method, path, body=None, headers=None, timeout=60):
        data = b"" if body is None else json.dumps(body).encode()
        sent = {"Host": "x", "Authorization": f"Bearer {client.key}", "Content-Length": len(data),
                "Content-Type": "application/json", **(headers or {})}
        head = "".join(f"{k}: {v}\r\n" for k, v in sent.items())
        self.began = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", client.port), patience(timeout))
        self.socket.sendall(f"{method} {PREFIX}{path} HTTP/1.1\r\n{head}\r\n".encode() + data)
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self.comments = 0
        self.ended = False  # by the last chunk

    def chunks(self):
        while True:
            line = self.file.readline()
            if not line:
                return
            size = int(line, 16)
            data = self.file.read(size)
            self.file.readline()
            if size == 0:
                self.ended = True
                return
            yield data

    def whole(self):
        """The body of an answer that is no stream."""
        return json.loads(self.file.read(int(self.headers["content-length"])))

    def events(self):
        text = b""
        for chunk in self.chunks():
            text += chunk
            while b"\n\n" in text:
                block, _, text = text.partition(b"\n\n")
                if block.startswith(b":"):
                    self.comments += 1
                    continue
                fields = dict(line.split(b": ", 1) for line in block.split(b"\n"))
                number = int(fields[b"id"]) if b"id" in fields else None
                yield time.monotonic() - self.began, number, json.loads(fields[b"data"])

    def all(self):
        return [document for _, _, document in self.events()]

    def close(self):
        self.file.close()
        self.socket.close()


def joined(events, kind, key="data"):
    return "".join(e[key] for e in events if e["type"] == kind)
