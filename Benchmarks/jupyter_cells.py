"""Runs `print(1)` in one kernel of a Jupyter Kernel Gateway for each line of input, and prints the milliseconds, from the
request to the kernel's word that it is idle. The line names the client: one acknowledges "at once", one "delayed"."""

import json
import socket
import sys
import time
import urllib.request
import uuid

import websocket

port = int(sys.argv[1])
start = urllib.request.Request(f"http://127.0.0.1:{port}/api/kernels", data=b"{}", method="POST")
kernel = json.load(urllib.request.urlopen(start, timeout=60))["id"]


def cell(connection, acknowledges):
    number = uuid.uuid4().hex
    header = {"msg_id": number, "username": "", "session": "bench", "msg_type": "execute_request", "version": "5.3",
              "date": "2026-01-01T00:00:00Z"}
    content = {"code": "print(1)", "silent": False, "store_history": False, "user_expressions": {},
               "allow_stdin": False}
    connection.send(json.dumps({
        "header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}))
    has_reply = is_idle = False
    while not (has_reply and is_idle):
        if acknowledges:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        message = json.loads(connection.recv())
        if message["parent_header"].get("msg_id") != number:
            continue
        has_reply |= message["msg_type"] == "execute_reply"
        is_idle |= message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


connections = {}
for name in ("at once", "delayed"):
    connections[name] = websocket.create_connection(
        f"ws://127.0.0.1:{port}/api/kernels/{kernel}/channels", timeout=60,
        sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),))
for line in sys.stdin:
    name = line.strip()
    began = time.perf_counter()
    cell(connections[name], acknowledges=name == "at once")
    print((time.perf_counter() - began) * 1000, flush=True)
