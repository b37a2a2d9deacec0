# SPDX-License-Identifier: Apache-2.0
"""code/run of 1+1 in a warm kernel, against jupyter_client's blocking client in the same sandbox, on
the same kernel and on ipykernel as it comes, and against Jupyter Server (REST and WebSocket) on the
host."""
import json
import os
import shutil
import subprocess
import urllib.request
import uuid

import websocket

from benchlib import (ROUNDS, Row, Samples, Session, answers, corrald, free_port, process, scratch,
                      timed)

RUNS = 100
TOKEN = "bench"


def request(port, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
    call.add_header("Authorization", f"token {TOKEN}")
    with urllib.request.urlopen(call, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def connect(port, kernel):
    url = f"ws://127.0.0.1:{port}/api/kernels/{kernel}/channels?session_id={uuid.uuid4().hex}"
    return websocket.create_connection(url, header=[f"Authorization: token {TOKEN}"], timeout=30)


def execute(socket):
    """Until the reply, the result and the idle status are there."""
    message = uuid.uuid4().hex
    header = {"msg_id": message, "msg_type": "execute_request", "session": "s", "username": "u",
              "version": "5.3", "date": ""}
    content = {"code": "1+1", "silent": False, "store_history": True, "allow_stdin": False,
               "user_expressions": {}, "stop_on_error": False}
    socket.send(json.dumps({"channel": "shell", "header": header, "parent_header": {},
                            "metadata": {}, "content": content, "buffers": []}))
    wanted = {"execute_reply", "execute_result", "idle"}
    while wanted:
        got = json.loads(socket.recv())
        if got["parent_header"].get("msg_id") == message:
            wanted -= {got["content"].get("execution_state", got["msg_type"])}


def jupyter_server():
    """(over a kept WebSocket, with REST and a new WebSocket for each run)"""
    folder, port = scratch(), free_port()
    command = ["/usr/bin/jupyter-server", "--no-browser", "--allow-root", f"--port={port}",
               "--port-retries=0", f"--ServerApp.token={TOKEN}", f"--ServerApp.root_dir={folder}",
               "--ServerApp.log_level=ERROR", "--ServerApp.disable_check_xsrf=True"]
    environment = {**os.environ, "HOME": folder, "PATH": "/usr/bin:/bin"}
    try:
        with process(command, answers(port), env=environment, cwd=folder,
                     stderr=subprocess.DEVNULL):
            kernel = request(port, "POST", "/api/kernels", {"name": "python3"})["id"]
            socket = connect(port, kernel)
            kept = timed(lambda: execute(socket), RUNS)
            socket.close()

            def anew():
                request(port, "GET", f"/api/kernels/{kernel}")
                fresh = connect(port, kernel)
                execute(fresh)
                fresh.close()
            new = timed(anew, 30)
            request(port, "DELETE", f"/api/kernels/{kernel}")
            return kept, new
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure():
    with open(os.path.join(os.path.dirname(__file__), "client_peer.py"), encoding="utf-8") as file:
        program = file.read()
    ours, blocking, plain = [], [], []
    with corrald("--pool-size", "0") as server:
        session = Session(server)
        sandbox = session.create()
        path = "/home/user/client_peer.py"
        session.post(f"/sandboxes/{sandbox}/files/write", {"path": path, "content": program})
        for _ in range(ROUNDS):
            ours += timed(lambda: session.run_code(sandbox), RUNS).values
            for values, kernel in ((blocking, ""), (plain, " plain")):
                text = session.run_command(sandbox, f"python3 {path} {RUNS}{kernel}")
                values += json.loads(text)["values"]
    ours, blocking, plain = Samples(ours), Samples(blocking), Samples(plain)
    kept, new = jupyter_server()
    rows = [Row("code/run 1+1", "ms", ours, blocking, "jupyter_client", "<= 1.3"),
            Row("code/run 1+1", "ms", ours, kept, "Jupyter Server, WebSocket kept", "<= 0.25"),
            Row("code/run 1+1", "ms", ours, new, "Jupyter Server, REST + WebSocket"),
            Row("code/run 1+1", "ms", ours, plain, "jupyter_client, plain ipykernel")]
    rows[0].met = rows[0].ratio <= 1.3
    rows[1].met = rows[1].ratio <= 0.25
    return rows
