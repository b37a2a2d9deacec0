# SPDX-License-Identifier: Apache-2.0
"""What the agent does for programs in the sandbox: TCP connections become flows."""
import socket
import threading

import egress


class Bridge:
    """Listens on the loopback; each connection is a flow of `program` to `host` and `port`."""

    def __init__(self, program, host, port, name="one"):
        self.program, self.to, self.name = program, (host, port), name
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.sock.close()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(conn,), daemon=True).start()

    def one(self, conn):
        flow = self.program.flow(self.name, timeout=60)
        with conn, flow:
            if flow.open(*self.to) != 0:
                return
            threading.Thread(target=self.down, args=(flow, conn), daemon=True).start()
            try:
                while data := conn.recv(65536):
                    flow.write(data)
                flow.send(egress.FIN)
            except OSError:
                pass
            while conn.fileno() >= 0 and not getattr(flow, "over", False):
                threading.Event().wait(0.01)

    def down(self, flow, conn):
        try:
            while True:
                kind, data = flow.frame()
                if kind == egress.DATA:
                    conn.sendall(data)
                elif kind == egress.FIN:
                    conn.shutdown(socket.SHUT_WR)
                else:
                    break
        except OSError:
            pass
        flow.over = True
        try:
            conn.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
