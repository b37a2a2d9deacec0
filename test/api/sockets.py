# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client for tests: hides nothing of the frames."""
import base64
import os
import socket

from corraltest import PREFIX, patience

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    """`status` is that of the handshake's answer; 101 when it is one."""

    def __init__(self, client, path, headers=None, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", client.port), patience(timeout))
        sent = {"Host": "x", "Connection": "Upgrade", "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}
        if client.key:
            sent["Authorization"] = f"Bearer {client.key}"
        sent.update(headers or {})
        lines = "".join(f"{k}: {v}\r\n" for k, v in sent.items() if v is not None)
        self.socket.sendall(f"GET {PREFIX}{path} HTTP/1.1\r\n{lines}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.behind = b""  # what came behind the text that `until` waited for
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()

    def send(self, opcode, payload, fin=True):
        if isinstance(payload, str):
            payload = payload.encode()
        mask, size = os.urandom(4), len(payload)
        length = (bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
                  if size < 65536 else b"\xff" + size.to_bytes(8, "big"))
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.socket.sendall(bytes([opcode | (0x80 if fin else 0)]) + length + mask + data)

    def receive(self):
        """(opcode, payload) of the next frame, or None at the end of the connection."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
        return head[0] & 15, self.file.read(size)

    def until(self, text):
        """What the terminal has said since the last call when `text` is in it."""
        seen, text = self.behind, text.encode()
        while text not in seen:
            frame = self.receive()
            if frame is None:
                raise AssertionError(f"{text!r} never came: {seen!r}")
            if frame[0] == BINARY:
                seen += frame[1]
        end = seen.index(text) + len(text)
        self.behind = seen[end:]
        return seen[:end]

    def close(self):
        self.file.close()
        self.socket.close()
