"""A client of the runner's wire protocol, and a runner to test with it."""

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
SANITIZED = os.environ.get("SANITIZE") == "1"
SOURCES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUNTIMES = os.path.join(SOURCES, "..", "runtimes")
USER = 4611  # an id that nobody else on the machine has


def frame(kind, payload=b""):
    return struct.pack("<BI", kind, len(payload)) + payload


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


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
        self.buffered = bytearray()

    def send(self, kind, payload=b""):
        self.socket.sendall(frame(kind, payload))

    def _exactly(self, length):
        while len(self.buffered) < length:
            part = self.socket.recv(1 << 18)
            if not part:
                raise Cut()
            self.buffered += part
        taken = bytes(self.buffered[:length])
        del self.buffered[:length]
        return taken

    def receive(self):
        kind, length = struct.unpack("<BI", self._exactly(5))
        return kind, self._exactly(length)

    def receive_until(self, wanted):
        """The payload of the next frame of this type; others are passed over."""
        while True:
            kind, payload = self.receive()
            if kind == wanted:
                return payload
            if kind in (EXIT, REFUSED):
                raise AssertionError(f"ended instead: {payload}")

    def close(self):
        self.socket.close()


class Result:
    """Everything one run said."""

    def __init__(self):
        self.stdout, self.stderr, self.exit, self.refused, self.started, self.credit = b"", b"", None, None, None, 0

    @property
    def reason(self):
        return self.exit["reason"] if self.exit else None

    @property
    def code(self):
        """The code of a refusal."""
        return self.refused["code"] if self.refused else None

    def __repr__(self):
        return f"<{self.exit or self.refused} stdout={self.stdout[:1000]!r} stderr={self.stderr[:1000]!r}>"


class Client:
    """Talks to a runner at a port."""

    def __init__(self, port, secret):
        self.port, self.secret = port, secret

    def request(self, **fields):
        return json.dumps({"secret": self.secret, **fields}).encode()

    def open(self, receive_buffer=None, **fields):
        connection = Connection(self.port, receive_buffer)
        connection.send(REQUEST, self.request(**fields))
        return connection

    def finish(self, connection):
        result, out, err = Result(), [], []
        try:
            while result.exit is None and result.refused is None:
                kind, payload = connection.receive()
                if kind == STARTED:
                    result.started = json.loads(payload)
                elif kind == STDOUT:
                    out.append(payload)
                elif kind == STDERR:
                    err.append(payload)
                elif kind == EXIT:
                    result.exit = json.loads(payload)
                elif kind == REFUSED:
                    result.refused = json.loads(payload)
                elif kind == CREDIT:
                    result.credit += struct.unpack("<I", payload)[0]
                else:
                    raise AssertionError(f"a frame of type {kind}")
            if connection.buffered or connection.socket.recv(1):
                raise AssertionError("something follows the last frame")
        finally:
            result.stdout, result.stderr = b"".join(out), b"".join(err)
            connection.close()
        return result

    def run(self, language, code, **fields):
        return self.finish(self.open(language=language, code=code, **fields))

    def ask(self, op):
        return json.loads(self.finish(self.open(op=op)).stdout)

    def kits(self, language):
        """How many runs wait that were made ahead, with the interpreter of this language up."""
        return self.ask("ping")["warm"][language]["ready"]


def find_elsewhere(path):
    """Has a runtime's compiler be found where the tester has it, which may be none of the directories of a runner."""
    with open(path) as file:
        spec = json.load(file)
    for step in ("version", "compile"):
        spec[step][0] = shutil.which(spec[step][0]) or spec[step][0]
    with open(path, "w") as file:
        json.dump(spec, file)


class Runner(Client):
    """`martlet-runner serve` on a free port, with its own secret, home and runtimes."""

    def __init__(self, cgroup=None, limits=None, command=(), arguments=(), owner=0, user=USER, elsewhere=(), disk=None, **config):
        # Not below /tmp: a run sees its own /tmp only.
        self.directory = tempfile.mkdtemp(prefix="martlet-runner-test-", dir="/var/lib")
        os.chmod(self.directory, 0o755)
        self.home = os.path.join(self.directory, "home")
        os.mkdir(self.home)
        self.disk = disk
        if disk:  # where nobody else writes
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", self.home], check=True)
        os.chown(self.home, user, user)
        self.runtimes = os.path.join(self.directory, "runtimes")
        shutil.copytree(RUNTIMES, self.runtimes)
        for language in elsewhere:
            find_elsewhere(os.path.join(self.runtimes, language, "runtime.json"))
        self.config = os.path.join(self.directory, "config.json")
        program = os.path.join(self.directory, "martlet-runner")
        shutil.copy(RUNNER, program)
        secret = secrets.token_hex(32)
        with open(os.open(self.config, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            os.fchown(file.fileno(), owner, owner)
            ceiling = {"memoryMb": 4096, "processes": 512, "outputBytes": 1 << 30, "timeoutMs": 600000}
            user = {"name": "martlet", "uid": user, "gid": user, "home": self.home}
            json.dump(
                {
                    "secret": secret,
                    "port": 0,
                    "runtimes": self.runtimes,
                    "user": user,
                    "limits": {**ceiling, **(limits or {})},
                    "cgroup": cgroup,
                    "warm": False,
                    "compiled": False,
                    **config,
                },
                file,
            )
        self.log = []
        environment = {**os.environ, "RUNNER_ENVIRONMENT": "of the runner only", "ASAN_OPTIONS": "detect_leaks=0"}
        self.process = subprocess.Popen(
            [*command, program, "serve", "--config", self.config, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        super().__init__(self._wait_for_port(), secret)
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()

    def _wait_for_port(self):
        for line in self.process.stderr:
            self.log.append(line)
            listening = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if listening:
                return int(listening.group(1))
        raise RuntimeError("the runner did not start: " + "".join(self.log))

    def programs(self):
        """Host pids of the user's processes: what runs have started and not lost."""
        return [pid for pid, (owner, _) in processes().items() if owner == USER]

    def warm_up(self, language="plain", **fields):
        """Runs until the keeper has kits for runs like this."""
        self.run("bash" if language == "plain" else language, "", **fields)
        wait_until(lambda: self.kits(language), 20, f"a kit for {language}: {self.log}")

    def descendants(self):
        """Host pids of every process below the runner: supervisors, inits, programs."""
        parents = {pid: parent for pid, (_, parent) in processes().items()}
        below = {self.process.pid}
        while True:
            more = {pid for pid, parent in parents.items() if parent in below} - below
            if not more:
                return below - {self.process.pid}
            below |= more

    def close(self):
        """Stops it, if it still runs; its exit code."""
        try:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(timeout=5)
            self.reader.join(timeout=5)
            faults = [line for line in self.log if "Sanitizer" in line or "runtime error" in line]
            if faults:
                raise AssertionError("".join(self.log))
            return code
        finally:
            self.process.kill()
            self.process.stderr.close()
            if self.disk:
                subprocess.run(["umount", "-l", self.home], check=True)
            shutil.rmtree(self.directory, ignore_errors=True)


def processes():
    """Every living process: its owner and parent by pid."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            if fields[0] not in "ZX":
                found[int(pid)] = os.stat(f"/proc/{pid}").st_uid, int(fields[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def own_cgroups():
    """Directories for a runner's control groups below this process's own, or None where version 1 is missing."""
    roots = {}
    for line in open("/proc/self/cgroup"):
        _, controllers, path = line.strip().split(":", 2)
        for controller in controllers.split(","):
            root = f"/sys/fs/cgroup/{controller}{path}".rstrip("/") + f"/martlet-test-{secrets.token_hex(4)}"  # pids repeat where they have a namespace
            if controller in ("memory", "pids", "cpuacct") and os.access(os.path.dirname(root), os.W_OK):
                roots[controller] = root
    return roots if {"memory", "pids"} <= roots.keys() else None


class UnifiedGroup:
    """A group of version 2 as a service manager delegates one: with what controllers are there, and a runner inside."""

    @staticmethod
    def mount():
        """Where version 2 is mounted, beside version 1 or alone; None where it is not."""
        for line in open("/proc/self/mounts"):
            _, where, kind, *_ = line.split()
            if kind == "cgroup2" and os.access(where, os.W_OK):
                return where
        return None

    def __init__(self):
        mount = self.mount()
        self.path = f"{mount}/martlet-test-{secrets.token_hex(4)}"  # pids repeat where they have a namespace
        self.enabled = []
        for controller in {"memory", "pids"}.intersection(self._words(mount, "cgroup.controllers")):
            if controller not in self._words(mount, "cgroup.subtree_control"):
                self._write(mount, "cgroup.subtree_control", "+" + controller)
                self.enabled.append(controller)
        os.mkdir(self.path)
        self.controllers = set(self._words(self.path, "cgroup.controllers"))
        self.roots = {"unified": self.path + "/runs"}
        self.command = ["bash", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', self.path]

    @staticmethod
    def _words(group, file):
        with open(f"{group}/{file}") as lines:
            return lines.read().split()

    @staticmethod
    def _write(group, file, text):
        with open(f"{group}/{file}", "w") as out:
            out.write(text)

    def runs(self):
        return [name for name in os.listdir(self.roots["unified"]) if name.startswith("run-")]

    def remove(self):
        for group in (self.path + "/runs", self.path + "/runner", self.path):
            if os.path.isdir(group):
                os.rmdir(group)
        for controller in self.enabled:
            self._write(self.mount(), "cgroup.subtree_control", "-" + controller)
