# SPDX-License-Identifier: Apache-2.0
"""wan.py - connects the second network of an emulated host to a network namespace of this machine.

QEMU sends each frame as a datagram to one Unix socket and takes frames at another; nobody listens until
a Wan does. The namespace sees a TAP of its own, and a thread for each direction copies between the two."""
import fcntl
import os
import socket
import struct
import subprocess
import threading

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME = 65536


class Wan:
    """`inside` is a context in which descriptors belong to the namespace; `device` is the TAP's name
    there, and the caller gives it its addresses."""

    def __init__(self, machine, inside, device):
        self.far = f"{machine.path}/wan.far"
        self.near = f"{machine.path}/wan"
        with inside:
            self.tap = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", device.encode(),
                                                         IFF_TAP | IFF_NO_PI))
            # A descriptor of an interface that is down fails.
            subprocess.run(["ip", "link", "set", device, "up"], check=True)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(self.far):
            os.unlink(self.far)
        self.sock.bind(self.far)
        for copy in (self.outward, self.inward):
            threading.Thread(target=copy, daemon=True).start()

    def outward(self):
        try:
            while frame := self.sock.recv(FRAME):
                os.write(self.tap, frame)
        except OSError:
            pass  # closed, or the namespace is gone

    def inward(self):
        try:
            while frame := os.read(self.tap, FRAME):
                self.sock.sendto(frame, self.near)
        except OSError:
            pass
        finally:
            os.close(self.tap)

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        os.unlink(self.far)
