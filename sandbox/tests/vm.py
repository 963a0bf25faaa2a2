"""A local VM as a provider makes one: an OCI bundle with a user namespace, run by crun, the runner as its PID 1."""

import glob
import json
import os
import shutil
import secrets
import socket
import subprocess
import tempfile
import time

import client

BASE = 231072  # the VM's root on the host
CONTROLLERS = ("memory", "pids", "cpuacct")
CAPABILITIES = [
    "CAP_" + name
    for name in (
        "SYS_ADMIN",
        "NET_ADMIN",
        "SETUID",
        "SETGID",
        "SETPCAP",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "KILL",
        "SYS_CHROOT",
        "SYS_PTRACE",
    )
]
SSHD_CONFIG = """HostKey /etc/ssh/host_ed25519
AuthorizedKeysFile /etc/ssh/authorized_keys
AllowUsers martlet
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
StrictModes no
UsePAM no
UseDNS no
AllowTcpForwarding local
LogLevel ERROR
PidFile none
"""


def mount(kind, target, *options):
    return {"destination": target, "type": kind, "source": kind, "options": ["nosuid", *options]}


def bind(source, target, *options):
    return {"destination": target, "type": "bind", "source": source, "options": ["rbind", "nosuid", "nodev", *options]}


class VM:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="martlet-vm-test-", dir="/var/lib")
        os.chmod(self.directory, 0o755)
        self.root = os.path.join(self.directory, "rootfs")
        self.name = f"martlet-test-{os.getpid()}"
        self.secret = secrets.token_hex(32)
        self.groups = client.own_cgroups()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._fill_root()
        self._write_config()
        self._start()

    def _folder(self, path, mode=0o755):
        os.makedirs(self.root + path, exist_ok=True)
        os.chmod(self.root + path, mode)
        os.chown(self.root + path, BASE, BASE)

    def _file(self, path, text, mode=0o644):
        with open(self.root + path, "w") as file:
            file.write(text)
        os.chmod(self.root + path, mode)
        os.chown(self.root + path, BASE, BASE)

    def _key(self, path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)

    def _fill_root(self):
        for path in (
            "",
            "/usr",
            "/etc",
            "/etc/ssh",
            "/etc/alternatives",
            "/etc/martlet",
            "/opt",
            "/opt/martlet",
            "/opt/martlet/runtimes",
            "/proc",
            "/sys",
            "/sys/fs",
            "/sys/fs/cgroup",
            "/dev",
            "/run",
            "/tmp",
            "/var",
            "/var/tmp",
            "/var/empty",
            "/home",
            "/home/martlet",
            "/root",
        ):
            self._folder(path)
        for controller in CONTROLLERS:
            self._folder(f"/sys/fs/cgroup/{controller}")
            self._folder(f"/sys/fs/cgroup/{controller}/runs")
        for link in ("bin", "sbin", "lib", "lib64"):
            os.symlink("usr/" + link, f"{self.root}/{link}")
        home = os.path.join(self.directory, "home")
        os.mkdir(home, 0o700)
        os.chown(home, BASE + 1000, BASE + 1000)
        self._file(
            "/etc/passwd",
            "root:x:0:0::/root:/usr/sbin/nologin\nsshd:x:103:65534::/run/sshd:/usr/sbin/nologin\n"
            "martlet:x:1000:1000::/home/martlet:/bin/bash\n",
        )
        self._file("/etc/group", "root:x:0:\ntty:x:5:\nmartlet:x:1000:\nnogroup:x:65534:\n")
        self._file("/etc/shadow", "root:*:::::::\nsshd:*:::::::\nmartlet:*:::::::\n", 0o600)
        self._file("/etc/ssh/sshd_config", SSHD_CONFIG)
        shutil.copy("/etc/ld.so.cache", self.root + "/etc/ld.so.cache")
        self._key(self.root + "/etc/ssh/host_ed25519")
        os.chown(self.root + "/etc/ssh/host_ed25519", BASE, BASE)
        self.key = os.path.join(self.directory, "key")
        self._key(self.key)
        self._file("/etc/ssh/authorized_keys", open(self.key + ".pub").read())
        shutil.copy(client.RUNNER, self.root + "/opt/martlet/martlet-runner")
        user = {"name": "martlet", "uid": 1000, "gid": 1000, "home": "/home/martlet"}
        groups = {one: f"/sys/fs/cgroup/{one}/runs" for one in CONTROLLERS if self.groups and one in self.groups}
        self._file(
            "/etc/martlet/runner.json",
            json.dumps(
                {
                    "secret": self.secret,
                    "port": 4611,
                    "runtimes": "/opt/martlet/runtimes",
                    "user": user,
                    "limits": {"memoryMb": 1024, "processes": 200},
                    "cgroup": groups or None,
                }
            ),
            0o600,
        )

    def _write_config(self):
        mounts = [
            mount("proc", "/proc", "noexec", "nodev"),
            mount("tmpfs", "/dev", "mode=755", "size=65536k"),
            mount("devpts", "/dev/pts", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            mount("tmpfs", "/dev/shm", "nodev", "mode=1777"),
            mount("tmpfs", "/run", "nodev", "mode=755"),
            mount("tmpfs", "/run/sshd", "nodev", "mode=755", "size=64k"),
            mount("tmpfs", "/tmp", "nodev", "mode=1777"),
            mount("tmpfs", "/var/tmp", "nodev", "mode=1777"),
            bind("/usr", "/usr", "ro"),
            bind("/etc/alternatives", "/etc/alternatives", "ro"),
            bind(os.path.realpath(client.RUNTIMES), "/opt/martlet/runtimes", "ro"),
            bind(os.path.join(self.directory, "home"), "/home/martlet", "rw"),
        ]
        for controller, path in (self.groups or {}).items():
            os.makedirs(path)
            os.chown(path, BASE, BASE)
            mounts.append(bind(path, f"/sys/fs/cgroup/{controller}/runs", "noexec", "rw"))
        mapping = [{"containerID": 0, "hostID": BASE, "size": 65536}]
        arguments = [
            "init",
            "--config",
            "/etc/martlet/runner.json",
            "--listen-fd",
            "3",
            "--sshd",
            "/usr/sbin/sshd",
            "--sshd-config",
            "/etc/ssh/sshd_config",
        ]
        config = {
            "ociVersion": "1.0.0",
            "root": {"path": "rootfs", "readonly": True},
            "hostname": "vm",
            "mounts": mounts,
            "process": {
                "user": {"uid": 0, "gid": 0},
                "cwd": "/",
                "args": ["/opt/martlet/martlet-runner", *arguments],
                "env": ["PATH=/usr/bin"],
                "noNewPrivileges": True,
                "capabilities": {kind: CAPABILITIES for kind in ("bounding", "effective", "permitted")},
            },
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "user", "network", "cgroup")],
                "uidMappings": mapping,
                "gidMappings": mapping,
                "cgroupsPath": f"/martlet-test/{self.name}",
            },
        }
        with open(os.path.join(self.directory, "config.json"), "w") as file:
            json.dump(config, file)

    def _start(self):
        self.log = os.path.join(self.directory, "log")
        # crun 1.8 refuses a hybrid hierarchy: it runs where the unified one is not mounted.
        command = (
            f"mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified; exec 3<&{self.listener.fileno()}; "
            f"exec crun --cgroup-manager=cgroupfs run --preserve-fds=1 -b {self.directory} {self.name}"
        )
        with open(self.log, "w") as log:
            # Not /dev/null: crun gives stdin to the VM's root, and that node is the host's.
            self.process = subprocess.Popen(
                ["unshare", "-m", "bash", "-c", command],
                pass_fds=[self.listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        try:
            client.wait_until(
                lambda: "listening on" in open(self.log).read() or self.process.poll() is not None, 10, "VM"
            )
            if self.process.poll() is not None:
                raise RuntimeError(open(self.log).read())
        except Exception:
            self.close()
            raise

    def ssh(self, *options):
        """The words of an ssh command; options before the host's name."""
        quiet = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return ["ssh", "-F", "none", "-p", str(self.port), "-i", self.key, *quiet, *options, "martlet@127.0.0.1"]

    def forward(self):
        """A client of the VM's runner through an SSH connection, and that connection's process."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        tunnel = subprocess.Popen(
            self.ssh("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:4611")
        )

        def connects():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False

        client.wait_until(connects, 10, "the forwarded port")
        return client.Client(port, self.secret), tunnel

    def processes(self):
        """Host pids of everything in the VM."""
        return [pid for pid, (owner, _) in client.processes().items() if BASE <= owner < BASE + 65536]

    def stop(self):
        """Sends SIGTERM to the VM's init; its exit code and how long it took."""
        started = time.monotonic()
        subprocess.run(["crun", "kill", self.name, "TERM"], check=True)
        return self.process.wait(timeout=5), time.monotonic() - started

    def close(self):
        if self.process.poll() is None:
            subprocess.run(["crun", "kill", self.name, "KILL"], stderr=subprocess.DEVNULL)
            self.process.wait(timeout=5)
        subprocess.run(["crun", "delete", "--force", self.name], stderr=subprocess.DEVNULL)
        self.process.stdin.close()
        self.listener.close()
        for path in (self.groups or {}).values():
            os.rmdir(path)
        for path in glob.glob("/sys/fs/cgroup/*/martlet-test"):  # crun removes its own group, not the one above it
            os.rmdir(path)
        shutil.rmtree(self.directory)
