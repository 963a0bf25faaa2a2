"""What the bench starts and ends: Martlet, an sshd, a Docker engine, a Jupyter gateway, a forking loop.

All listen on loopback or a socket in a temporary directory. What takes minutes to fetch is kept below `.build`.
"""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

from calls import Client, Refused

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"
JUPYTER = ROOT / ".build/bench-jupyter"
ENGINE = ROOT / ".build/docker-engine"  # the tests' own, so that the base of the image is fetched once
IMAGE, BASE = "martlet/vm:latest", "martlet/debian:bookworm"


def end(process, seconds=60):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds, awaited, process=None):
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, Refused):
            if found := condition():
                return found
        if time.monotonic() > deadline or (process and process.poll() is not None):
            raise Refused(f"no {awaited} within {seconds} s")
        time.sleep(0.02)


class Martlet:
    def __init__(self, process, credentials):
        self.process = process
        self.url, self.token = credentials["url"], credentials["token"]
        self.client = Client(self.url, self.token)

    def resident(self):
        """Bytes of memory of the process that is gateway and worker."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


@contextlib.contextmanager
def martlet(directory, binary, **settings):
    """A private `martlet up`. Rates are counted as always, with limits that no measurement reaches."""
    os.mkdir(directory, 0o755)  # PostgreSQL runs as another user
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MARTLET_", "VM_", "DOCKER_"))}
    environment = {**kept, "XDG_CONFIG_HOME": f"{directory}/config",
                   "MARTLET_RATE_LIMITS": "free=1000000,pro=1000000,unlimited=1000000", **settings}
    with open(f"{directory}/log", "wb") as log:
        process = subprocess.Popen(
            [binary, "up", "--port", "0", "--data-dir", f"{directory}/data"],
            env=environment, stdout=log, stderr=log, start_new_session=True)
    credentials = pathlib.Path(f"{directory}/config/martlet/credentials.json")

    def ready():
        found = Martlet(process, json.loads(credentials.read_text()))
        found.client.call("GET", "/readyz")
        return found

    try:
        try:
            found = until(ready, 120, "answer of 'martlet up'", process)
        except Refused:
            sys.exit(f"martlet up did not come up:\n{pathlib.Path(directory, 'log').read_text()}")
        yield found
    finally:
        end(process)


@contextlib.contextmanager
def sshd(directory, *settings):
    """A private sshd and a ControlMaster to it; yields the ssh command line to put a command behind."""
    keys = pathlib.Path(directory)
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized_keys")
    port = free_port()
    pathlib.Path("/run/sshd").mkdir(exist_ok=True)
    (keys / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized_keys\n"
        f"PidFile {keys}/pid\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPrintMotd no\nMaxSessions 64\n"
        + "".join(f"{setting}\n" for setting in settings))
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", keys / "config"], stderr=subprocess.DEVNULL)
    command = [
        "ssh", "-F", "none", "-p", str(port), "-i", str(keys / "user"), "-o", "StrictHostKeyChecking=no",
        "-o", f"UserKnownHostsFile={keys}/known", "-o", "LogLevel=ERROR", "-o", f"ControlPath={keys}/control",
        "127.0.0.1"]
    try:
        master = [*command[:-1], "-o", "ControlMaster=yes", "-o", "ControlPersist=yes", "-o", "ConnectionAttempts=20",
                  "-N", "-f", command[-1]]
        subprocess.run(master, check=True, timeout=60)
        yield command
    finally:
        subprocess.run([*command[:-1], "-O", "exit", command[-1]], stderr=subprocess.DEVNULL)
        end(server, 10)


def libssh2_copy(ssh, path):
    """The command by which curl, whose SSH is libssh2, reads a file from the sshd of that ssh command line."""
    port, key = ssh[ssh.index("-p") + 1], ssh[ssh.index("-i") + 1]
    return ["curl", "--silent", "--fail", "--insecure", "--key", key, "--pubkey", f"{key}.pub", "--output", "/dev/null",
            f"scp://root@127.0.0.1:{port}{path}"]


@contextlib.contextmanager
def forking_loop(directory, *options):
    """The least that could run Python for somebody: an interpreter that is up, forked for each program. No limits, no
    record, nobody asked who calls, and without `--walls` no confinement. Yields what runs `print(1)` in it."""
    path = f"{directory}/forking{len(options)}"
    process = subprocess.Popen([PYTHON, ROOT / "Benchmarks/forking_loop.py", path, *options])

    def call():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(b"print(1)\n")
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(4096):
                answer += part
        if answer != b"1\n":
            raise Refused(f"the forking loop answered {answer!r}")
        return True

    try:
        until(call, 20, "answer of the forking loop", process)
        yield call
    finally:
        end(process, 10)


@contextlib.contextmanager
def jupyter():
    """A warm Jupyter Kernel Gateway; yields what runs a cell in it, by how its client acknowledges, and gives its
    milliseconds."""
    programs = JUPYTER / "bin"
    if not (programs / "jupyter-kernelgateway").exists():
        subprocess.run([sys.executable, "-m", "venv", JUPYTER], check=True, timeout=120)
        subprocess.run(
            [programs / "pip", "install", "--quiet", "jupyter_kernel_gateway", "ipykernel", "websocket-client"],
            check=True, timeout=600, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    port = free_port()
    gateway = subprocess.Popen(
        [programs / "jupyter-kernelgateway", "--KernelGatewayApp.ip=127.0.0.1", f"--KernelGatewayApp.port={port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def answers():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api")
            return connection.getresponse().status == 200

        until(answers, 60, "answer of the kernel gateway", gateway)
        cells = subprocess.Popen(
            [programs / "python", ROOT / "Benchmarks/jupyter_cells.py", str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

        def cell(client):
            cells.stdin.write(f"{client}\n")
            taken = cells.stdout.readline()
            if not taken:
                raise Refused("the client of the kernel gateway ended")
            return float(taken)

        try:
            yield cell
        finally:
            cells.stdin.close()
            cells.wait(20)
    finally:
        end(gateway, 20)


class Engine:
    """A private dockerd."""

    def __init__(self, path):
        self.path, self.host = path, f"unix://{path}"

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("docker", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(120)
        connection.sock.connect(self.path)
        connection.request(
            method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        if response.status >= 400:
            raise Refused(f"{method} {path}: {response.status} {data.decode()}")
        return json.loads(data) if data.strip() and data.strip() != b"OK" else True

    def remove_everything(self):
        for container in self.call("GET", "/containers/json?all=1"):
            self.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        for volume in self.call("GET", "/volumes")["Volumes"] or []:
            self.call("DELETE", f"/volumes/{volume['Name']}")
        for network in self.call("GET", "/networks"):
            if network["Name"] not in ("none", "host"):
                self.call("DELETE", f"/networks/{network['Id']}")


@contextlib.contextmanager
def docker_engine(directory, binary):
    """A dockerd with the image of VMs in it, which `martlet image build` makes (the first time, a minute or two)."""
    for program in ("dockerd", "docker", "debootstrap"):
        if not shutil.which(program):
            raise Refused(f"{program} is not installed")
    os.mkdir(directory)
    ENGINE.mkdir(parents=True, exist_ok=True)
    lock = open(ENGINE / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused("tests use the private Docker engine") from None
    engine = Engine(f"{directory}/docker.sock")
    pathlib.Path(directory, "daemon.json").write_text("{}")  # not /etc/docker's
    with open(f"{directory}/log", "wb") as log:
        process = subprocess.Popen(
            ["dockerd", "--data-root", ENGINE / "data", "--exec-root", f"{directory}/exec", "--pidfile",
             f"{directory}/pid", "--config-file", f"{directory}/daemon.json", "--host", engine.host, "--bridge", "none",
             "--default-address-pool", "base=10.214.0.0/16,size=24", "--ip-forward=false", "--iptables=false",
             "--cgroup-parent", "/martlet-test", "--containerd-namespace", "martlet-test",
             "--containerd-plugins-namespace", "martlet-test-plugins", "--log-level", "warn"],
            stdout=log, stderr=log)
    try:
        until(lambda: engine.call("GET", "/_ping"), 60, "answer of dockerd", process)
        engine.remove_everything()
        try:
            engine.call("GET", f"/images/{BASE}/json")
            origin = ["--base", BASE]
        except Refused:
            origin = ["--from-debootstrap"]
        built = subprocess.run(
            [binary, "image", "build", "--docker-host", engine.host, "--runtimes", "bash,python", "--image", IMAGE,
             *origin], capture_output=True, text=True, timeout=900, env={**os.environ, "XDG_CONFIG_HOME": directory})
        if built.returncode != 0:
            raise Refused(f"martlet image build: {built.stdout}{built.stderr}")
        yield engine
        engine.remove_everything()
    finally:
        end(process)
        for arguments in (["--lazy", f"{directory}/exec/netns/default"], ["--recursive", ENGINE / "data"]):
            subprocess.run(["umount", *arguments], stderr=subprocess.DEVNULL)
        lock.close()
