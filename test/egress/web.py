# SPDX-License-Identifier: Apache-2.0
"""A web server for hosts under transforms."""
import hashlib
import ssl


class Web:
    """An HTTPS or HTTP server that remembers the heads that it saw."""

    def __init__(self, pair=None):
        self.heads, self.context = [], None
        if pair is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*pair)
            self.context.set_alpn_protocols(["h2", "http/1.1"])

    def __call__(self, conn):
        if self.context is not None:
            conn = self.context.wrap_socket(conn, server_side=True)
            self.protocol = conn.selected_alpn_protocol()
        stream = conn.makefile("rb")
        while head := self.head(stream):
            self.heads.append(head)
            fields = dict(line.split(": ", 1) for line in head.lower().splitlines()[1:])
            if "upgrade" in fields:
                return self.socket(conn, stream)
            size, digest = self.body(stream, fields)
            answer = f"{size} {digest}".encode()
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer))
            if not head.startswith("HEAD"):
                conn.sendall(answer)
        try:
            conn.unwrap()
        except (OSError, AttributeError):
            pass

    @staticmethod
    def head(stream):
        lines = []
        while (line := stream.readline().decode("latin1").rstrip("\r\n")):
            lines.append(line)
        return "\n".join(lines)

    @staticmethod
    def body(stream, fields):
        size, digest = 0, hashlib.sha256()
        if fields.get("transfer-encoding") == "chunked":
            while (count := int(stream.readline(), 16)):
                digest.update(stream.read(count))
                size += count
                stream.readline()
            stream.readline()
        else:
            left = int(fields.get("content-length", 0))
            while left > 0:
                data = stream.read(min(left, 1 << 20))
                digest.update(data)
                size, left = size + len(data), left - len(data)
        return size, digest.hexdigest()[:16]

    @staticmethod
    def socket(conn, stream):
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     b"Connection: Upgrade\r\n\r\nhello")
        while data := stream.read1(65536):
            conn.sendall(data.upper())
