"""A client of the runner's wire protocol, and a runner to test it on."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

REQUEST, STDIN, STDIN_END, SIGNAL, WINDOW = 1, 2, 3, 4, 5
STARTED, STDOUT, STDERR, EXIT, REFUSED, CREDIT = 16, 17, 18, 19, 20, 21

RUNNER = os.environ["MARTLET_RUNNER"]
HERE = os.path.dirname(os.path.abspath(__file__))
RUNTIMES = os.path.join(HERE, "..", "..", "runtimes")
USER = 4611  # an id that nobody else on the machine has


def frame(kind, payload=b""):
    return struct.pack("<BI", kind, len(payload)) + payload


class Cut(Exception):
    """The stream ended without an exit or refused frame."""


class Connection:
    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, kind, payload=b""):
        self.socket.sendall(frame(kind, payload))

    def _exactly(self, length):
        parts = []
        while length:
            part = self.socket.recv(min(length, 1 << 20))
            if not part:
                raise Cut()
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def receive(self):
        kind, length = struct.unpack("<BI", self._exactly(5))
        return kind, self._exactly(length)

    def close(self):
        self.socket.close()


class Result:
    """Everything one run said."""

    def __init__(self):
        self.stdout, self.stderr, self.exit, self.refused, self.started = b"", b"", None, None, None
        self.credit = 0

    def __repr__(self):
        return f"<{self.exit or self.refused} stdout={self.stdout[:2000]!r} stderr={self.stderr[:2000]!r}>"


class Runner:
    """`martlet-runner serve` on a free port, with its own secret, home and runtimes."""

    def __init__(self, cgroup=None, limits=None, network=None):
        # Not below /tmp: a run sees its own /tmp only.
        self.directory = tempfile.mkdtemp(prefix="martlet-runner-test-", dir="/var/lib")
        os.chmod(self.directory, 0o755)
        self.home = os.path.join(self.directory, "home")
        os.mkdir(self.home)
        os.chown(self.home, USER, USER)
        self.runtimes = os.path.join(self.directory, "runtimes")
        shutil.copytree(RUNTIMES, self.runtimes)
        self.secret = secrets.token_hex(32)
        self.config = os.path.join(self.directory, "config.json")
        config = {
            "secret": self.secret,
            "port": 0,
            "runtimes": self.runtimes,
            "user": {"name": "martlet", "uid": USER, "gid": USER, "home": self.home},
            "limits": {"memoryMb": 4096, "processes": 512, "outputBytes": 1 << 30, "timeoutMs": 600000, **(limits or {})},
            "cgroup": cgroup,
        }
        if network:
            config["network"] = network
        with open(os.open(self.config, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            json.dump(config, file)
        self.log = []
        self.process = subprocess.Popen([RUNNER, "serve", "--config", self.config], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            self.log.append(line)
            listening = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if listening:
                self.port = int(listening.group(1))
                break
        else:
            raise RuntimeError("the runner did not start: " + "".join(self.log))
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()

    def request(self, **fields):
        return json.dumps({"secret": self.secret, **fields}).encode()

    def open(self, receive_buffer=None, **fields):
        connection = Connection(self.port, receive_buffer)
        connection.send(REQUEST, self.request(**fields))
        return connection

    def finish(self, connection, result=None):
        result = result or Result()
        out, err = [result.stdout], [result.stderr]
        try:
            while True:
                kind, payload = connection.receive()
                if kind == STARTED:
                    result.started = json.loads(payload)
                elif kind == STDOUT:
                    out.append(payload)
                elif kind == STDERR:
                    err.append(payload)
                elif kind in (EXIT, REFUSED):
                    setattr(result, "exit" if kind == EXIT else "refused", json.loads(payload))
                    break
                elif kind == CREDIT:
                    result.credit += struct.unpack("<I", payload)[0]
                else:
                    raise AssertionError(f"frame of type {kind}")
            if connection.socket.recv(1):
                raise AssertionError("something follows the last frame")
        finally:
            result.stdout, result.stderr = b"".join(out), b"".join(err)
            connection.close()
        return result

    def run(self, language, code, **fields):
        return self.finish(self.open(language=language, code=code, **fields))

    def ask(self, op):
        return json.loads(self.finish(self.open(op=op)).stdout)

    def processes(self):
        """Host pids of the user's processes: what runs have started and not lost."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}").st_uid == USER and "Z" not in open(f"/proc/{pid}/stat").read().rsplit(")")[1][:3]:
                    found.append(int(pid))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def descendants(self):
        """Host pids of every process below the runner: supervisors, inits, programs."""
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                parents[int(pid)] = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
        below = {self.process.pid}
        while True:
            more = {pid for pid, parent in parents.items() if parent in below} - below
            if not more:
                return below - {self.process.pid}
            below |= more

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=5)
        shutil.rmtree(self.directory)
        return code


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.005)
