"""The stage: every process of a deployment, each of which can be killed and started again."""

import contextlib
import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import threading
import time


class Failure(Exception):
    """The stage itself is at fault: nothing is said about Martlet."""


def await_that(what, condition, seconds=60.0, pace=0.1):
    """Returns what `condition` returns once that is true."""
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds:.0f} s: {what}")
        time.sleep(pace)


class Server:
    """One process. `kill` is SIGKILL: it can clean nothing up."""

    def __init__(self, name, command, directory, environment=None):
        self.name, self.command, self.directory = name, command, pathlib.Path(directory)
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.starts = 0

    def launch(self):
        self.starts += 1
        self.output_path = self.directory / f"{self.name}.out"
        with open(self.output_path, "wb") as output, open(self.directory / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=log,
                start_new_session=True)

    def start(self):
        """Starts it and waits until it works; again if it ends meanwhile, for what it needs may be down."""
        for _ in range(20):
            self.launch()
            with contextlib.suppress(ProcessLookupError):
                if await_that(f"{self.name} is ready", self.look, 90):
                    if self.process.poll() is None:
                        return
            self.process.wait()
            time.sleep(0.3)
        raise Failure(f"{self.name} does not start: see {self.directory / self.name}.log")

    def look(self):
        return self.process.poll() is not None or self.is_ready()

    def is_ready(self):
        return True

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, seconds=60):
        if not self.process or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return "killed"


class Postgres(Server):
    def __init__(self, directory):
        binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not binaries:
            raise Failure("PostgreSQL is not installed: apt-get install postgresql")
        self.binaries = binaries[-1]
        self.data, self.sockets = f"{directory}/postgresql", f"{directory}/sockets"
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.url = f"postgresql://{self.user}@/postgres?host={self.sockets}"
        super().__init__("postgresql", self.as_user([
            f"{self.binaries}/postgres", "-D", self.data, "-k", self.sockets, "-c", "listen_addresses=",
            "-c", "max_connections=200"]), directory)
        for path in (self.data, self.sockets):
            os.makedirs(path, exist_ok=True)
            os.chmod(path, 0o700)
            if os.geteuid() == 0:
                shutil.chown(path, "postgres", "postgres")
        if not os.path.exists(f"{self.data}/PG_VERSION"):
            subprocess.run(
                self.as_user([f"{self.binaries}/initdb", "-D", self.data, "-A", "trust", "-E", "UTF8", "--no-sync"]),
                check=True, stdout=subprocess.DEVNULL)

    def as_user(self, command):
        if os.geteuid() != 0:
            return command
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]

    def is_ready(self):
        return self.psql("SELECT 1", check=False) == "1"

    def psql(self, query, check=True):
        done = subprocess.run(
            ["psql", "-AtXq", "-d", self.url, "-v", "ON_ERROR_STOP=1", "-c", query], capture_output=True, text=True)
        if check and done.returncode:
            raise Failure(f"psql: {done.stderr.strip()}")
        return done.stdout.strip() if done.returncode == 0 else None

    def rows(self, query):
        return json.loads(self.psql(f"SELECT COALESCE(json_agg(q), '[]') FROM ({query}) q"))


class Redis(Server):
    def __init__(self, directory):
        self.data, self.socket = f"{directory}/redis", f"{directory}/redis.sock"
        os.makedirs(self.data, exist_ok=True)
        self.url = f"unix://{self.socket}"
        super().__init__("redis", [
            "redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.data, "--save", "",
            "--appendonly", "yes", "--appendfsync", "everysec"], directory)

    def lose_data(self):
        shutil.rmtree(self.data)
        os.makedirs(self.data)

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-s", self.socket, *words], capture_output=True, text=True)
        return done.stdout.strip()

    def is_ready(self):
        return self.ask("PING") == "PONG"


class Docker(Server):
    """A private engine: own data, sockets and bridge. One that runs already on the machine is never touched."""

    def __init__(self, directory, data):
        self.socket = f"{directory}/docker.sock"
        self.url = f"unix://{self.socket}"
        program = shutil.which("dockerd") or "/usr/sbin/dockerd"
        if not os.path.exists(program):
            raise Failure("no dockerd: apt-get install docker.io, or leave 'docker' out of --providers")
        os.makedirs(f"{directory}/docker-run", exist_ok=True)
        pathlib.Path(f"{directory}/daemon.json").write_text("{}")  # not /etc/docker's
        super().__init__("dockerd", [
            program, "--data-root", data, "--exec-root", f"{directory}/docker-run", "--pidfile",
            f"{directory}/docker.pid", "--config-file", f"{directory}/daemon.json", "-H", self.url, "--bridge", "none",
            "--group", "root", "--default-address-pool", "base=10.214.0.0/16,size=24", "--ip-forward=false",
            "--iptables=false", "--cgroup-parent", "/martlet-chaos",
            "--containerd-namespace", "martlet-chaos", "--containerd-plugins-namespace", "martlet-chaos-plugins",
            "--log-level", "warn"], directory)

    def launch(self):
        pid = pathlib.Path(f"{self.directory}/docker.pid")
        pid.unlink(missing_ok=True)  # of one that was killed; its number may be another's by now
        super().launch()

    def kill(self):
        """Its containerd goes with it, and is waited for: the next engine would take one that ends for one that runs."""
        super().kill()
        path = pathlib.Path(f"{self.directory}/docker-run/containerd/containerd.pid")
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            number = int(path.read_text())
            if b"containerd" in pathlib.Path(f"/proc/{number}/cmdline").read_bytes():
                os.kill(number, signal.SIGKILL)
                await_that("containerd has ended", lambda: not os.path.exists(f"/proc/{number}/ns/pid"), 30)
        path.unlink(missing_ok=True)

    def run(self, *words, check=True):
        done = subprocess.run(["docker", "-H", self.url, *words], capture_output=True, text=True)
        if check and done.returncode:
            raise Failure(f"docker {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def is_ready(self):
        return self.run("version", "--format", "{{.Server.Version}}", check=False) != ""


class Role(Server):
    """`martlet gateway` or `martlet worker`."""

    url = None

    def is_ready(self):
        for line in self.output_path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event.get("event") == "ready":
                    self.url = event.get("url") or self.url
                    return True
        return False


class Stage:
    """Servers, two gateways, three workers, as an operator would run them on one machine."""

    def __init__(self, directory, binary, providers, docker_data):
        self.directory, self.binary, self.providers = directory, binary, providers
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o711)
        self.postgres, self.redis = Postgres(directory), Redis(directory)
        self.docker = Docker(directory, docker_data) if "docker" in providers else None
        key = pathlib.Path(directory) / "master.key"
        if not key.exists():
            key.touch(0o600)
            key.write_text(os.urandom(32).hex())
        self.settings = {
            "DATABASE_URL": self.postgres.url, "REDIS_URL": self.redis.url, "VM_PROVIDER": ",".join(providers),
            "MARTLET_MASTER_KEY_FILE": str(key), "MARTLET_DATA_DIR": f"{directory}/data",
            "MARTLET_LOG_FORMAT": "json", "MARTLET_LOG_LEVEL": "info", "XDG_CONFIG_HOME": f"{directory}/config",
        }
        if self.docker:
            self.settings["DOCKER_HOST"] = self.docker.url
        self.gateways = [self.role("gateway", n, ["--host", "127.0.0.1", "--port", "0"]) for n in (1, 2)]
        self.workers = [self.role("worker", n, []) for n in (1, 2, 3)]

    def role(self, kind, number, arguments):
        return Role(
            f"{kind}-{number}", [self.binary, kind, "--json", *arguments], self.directory, self.settings)

    @property
    def servers(self):
        return [server for server in (self.postgres, self.redis, self.docker) if server]

    def martlet(self, *words):
        done = subprocess.run(
            [self.binary, *words], env={**os.environ, **self.settings}, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"martlet {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start_roles(self):
        self.martlet("migrate")
        starters = [threading.Thread(target=role.start) for role in (*self.gateways, *self.workers)]
        for thread in starters:
            thread.start()
        for thread in starters:
            thread.join()

    def stop(self):
        """Gateways and workers gracefully, then the servers. Returns how the roles ended."""
        endings = {role.name: role.stop() for role in (*self.gateways, *self.workers)}
        for server in reversed(self.servers):
            server.stop()
        return endings

    def abandon(self):
        """Leaves no process behind, whatever happened."""
        for server in (*self.gateways, *self.workers, *reversed(self.servers)):
            server.kill()
        # VMs outlive their workers, as they should; not this test.
        for note in pathlib.Path(self.directory).glob("data/vms/*/init.pid"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                os.kill(int(note.read_text().split()[0]), signal.SIGKILL)
