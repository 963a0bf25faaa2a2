"""A machine with an internet of its own, out of network namespaces: no packet leaves it.

The machine has addresses 203.0.113.1, 10.9.9.9 and 2001:db8::1, and behind its default route one host that is all of the
world: 203.0.113.10, 2001:db8::10, and every address that nobody should reach. It answers on all of them, at TCP port 80
with the address it was asked at, at UDP port 7 with what it was sent, and as name server."""

import contextlib
import ctypes
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time

PUBLIC = ["203.0.113.10", "2001:db8::10"]
NEAR = [
    "169.254.169.254",
    "fd00:ec2::254",
    "10.1.2.3",
    "172.16.5.5",
    "172.31.255.1",
    "192.168.7.7",
    "100.64.1.1",
    "100.127.255.1",
    "192.0.0.192",
    "198.18.0.1",
    "fc00::7",
    "64:ff9b::a9fe:a9fe",
    "2002:a01:203::1",
]
FORBIDDEN = ["203.0.113.77", "2001:db8:77::1"]  # by whoever runs the machine
OWN = ["203.0.113.1", "10.9.9.9", "2001:db8::1", "127.0.0.1", "::1"]
OWN_PORTS = [5432, 6379, 22]

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_NETWORK = 0x40000000


def enter(descriptor):
    if LIBC.setns(descriptor, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


class World:
    def __init__(self):
        self.children = []
        self.directory = tempfile.TemporaryDirectory(prefix="martlet-world-")
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.machine = self._namespace()
        self.internet = self._namespace()
        self.namespace = os.open(f"/proc/{self.machine}/ns/net", os.O_RDONLY)
        self._connect()
        self._listen(self.internet, "world", 80)
        self._listen(self.machine, "own", *OWN_PORTS)
        self._wait_for_links()

    def _child(self, *words, **options):
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
        self.children.append(process)
        return process

    def _namespace(self):
        child = self._child("unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat")
        assert child.stdout.readline() == "up\n"
        return child.pid

    def on(self, where, *commands):
        subprocess.run(["nsenter", "-t", str(where), "-n", "sh", "-ec", "\n".join(commands)], check=True)

    def _connect(self):
        self.on(
            self.machine,
            f"ip link add m0 type veth peer name i0 netns {self.internet}",
            "ip addr add 203.0.113.1/24 dev m0",
            "ip addr add 10.9.9.9/24 dev m0",
            "ip addr add 2001:db8::1/64 dev m0 nodad",
            "ip link set m0 up",
        )
        own = [f"ip addr add {one} dev lo" + (" nodad" if ":" in one else "") for one in NEAR + FORBIDDEN]
        self.on(
            self.internet,
            "ip addr add 203.0.113.10/24 dev i0",
            "ip addr add 2001:db8::10/64 dev i0 nodad",
            "ip link set i0 up",
            *own,
        )
        self.on(self.machine, "ip route add default via 203.0.113.10", "ip -6 route add default via 2001:db8::10")

    def _listen(self, where, kind, *ports):
        child = self._child(
            "nsenter", "-t", str(where), "-n", sys.executable, os.path.abspath(__file__), kind, *map(str, ports)
        )
        assert child.stdout.readline() == "listening\n"

    def _wait_for_links(self):
        """IPv6 takes a moment to use a link that has just come up."""
        deadline = time.monotonic() + 20
        for address in PUBLIC:
            while True:
                try:
                    with self.here(), socket.create_connection((address, 80), 0.5) as one:
                        one.settimeout(0.5)
                        if one.recv(99):
                            break
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise AssertionError(f"{address} is not reached: {error}") from error

    @contextlib.contextmanager
    def here(self):
        """What is started and connected inside belongs to the machine's network."""
        enter(self.namespace)
        try:
            yield self
        finally:
            enter(self.home)

    def resolver(self, name, address):
        path = os.path.join(self.directory.name, name)
        with open(path, "w") as file:
            file.write(f"nameserver {address}\n")
        os.chmod(path, 0o644)
        return path

    def close(self):
        for child in self.children:
            child.stdin.close()
            child.kill()
            child.wait()
            child.stdout.close()
        os.close(self.namespace)
        os.close(self.home)
        self.directory.cleanup()


# ---- Who answers ----------------------------------------------------------------------------------


def name_answer(question):
    """Every name is 203.0.113.10 (RFC 1035, 4.1)."""
    end = question.index(b"\0", 12) + 5
    is_a = question[end - 4 : end - 2] == b"\0\1"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([203, 0, 113, 10]) if is_a else b""
    return question[:2] + b"\x81\x80\0\1\0" + bytes([is_a]) + b"\0\0\0\0" + question[12:end] + record


def answer_all(ports, is_world):
    watched = selectors.DefaultSelector()
    kept = []

    def listen(family, kind, port):
        one = socket.socket(family, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(("", port))
        if kind == socket.SOCK_STREAM:
            one.listen(1024)
        watched.register(one, selectors.EVENT_READ, port)

    for family in (socket.AF_INET, socket.AF_INET6):
        for port in ports:
            listen(family, socket.SOCK_STREAM, port)
        for port in (7, 53) if is_world else ():
            listen(family, socket.SOCK_DGRAM, port)
    print("listening", flush=True)
    while True:
        for key, _ in watched.select():
            if key.fileobj.type == socket.SOCK_STREAM:
                connection, _ = key.fileobj.accept()
                kept = [*kept[-2000:], connection]
                connection.send(f"at {connection.getsockname()[0]}\n".encode())
            else:
                data, sender = key.fileobj.recvfrom(65536)
                key.fileobj.sendto(data if key.data == 7 else name_answer(data), sender)


if __name__ == "__main__":
    answer_all([int(one) for one in sys.argv[2:]], sys.argv[1] == "world")
