# SPDX-License-Identifier: Apache-2.0
"""Certificate authorities and servers' certificates, made with openssl."""
import os
import subprocess


def openssl(*words):
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout


class Authority:
    def __init__(self, directory, name):
        self.dir, self.name = directory, name
        self.cert, self.key = f"{directory}/{name}.crt", f"{directory}/{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.cert, "-days", "10", "-subj", f"/CN={name}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def texts(self):
        texts = []
        for path in (self.cert, self.key):
            with open(path) as f:
                texts.append(f.read())
        return tuple(texts)

    def issue(self, host, days="5"):
        """Paths of a certificate for the host and of its key."""
        base = os.path.join(self.dir, f"{self.name}-{host}-{days}")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{base}.key", "-out", f"{base}.csr", "-subj", "/CN=server")
        with open(f"{base}.ext", "w") as f:
            f.write(f"subjectAltName=DNS:{host}\n")
        openssl("x509", "-req", "-in", f"{base}.csr", "-CA", self.cert, "-CAkey", self.key,
                "-CAcreateserial", "-days", days, "-extfile", f"{base}.ext", "-out", f"{base}.crt")
        return f"{base}.crt", f"{base}.key"
