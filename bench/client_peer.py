# SPDX-License-Identifier: Apache-2.0
"""client_peer.py COUNT [plain]: runs in a sandbox; times 1+1 through jupyter_client's blocking client
on the kernel that code/run uses, or on ipykernel as it comes. Prints JSON: start and first answer,
then each run, in ms."""
import json
import os
import sys
import time

if os.path.isdir("/opt/corral/kernels") and "plain" not in sys.argv:
    os.environ["JUPYTER_PATH"] = "/opt/corral"

os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # its warning would be all that is said

from jupyter_client.manager import start_new_kernel  # noqa: E402

started = time.perf_counter()
name = "ipython" if "JUPYTER_PATH" in os.environ else "python3"
manager, client = start_new_kernel(kernel_name=name)
values = []


def run():
    results = []

    def hook(message):
        if message["msg_type"] == "execute_result":
            results.append(message["content"]["data"]["text/plain"])
    client.execute_interactive("1+1", output_hook=hook)
    assert results == ["2"], results


run()
first = (time.perf_counter() - started) * 1000
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    run()
    values.append((time.perf_counter() - began) * 1000)
print(json.dumps({"first": first, "values": values}), flush=True)
client.stop_channels()
manager.shutdown_kernel(now=True)
os._exit(0)  # the client's own clean-up complains in some versions
