"""Terminals: what their holder keeps, says and refuses. Needs no privilege."""

import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import client


def frame(kind, payload):
    return struct.pack("<BI", kind, len(payload)) + payload


class Client:
    def __init__(self, terminal, rows=24, columns=80):
        self.socket = socket.create_connection(("127.0.0.1", terminal["port"]), timeout=20)
        self.buffer, self.output = b"", bytearray()
        self.socket.sendall(frame(1, json.dumps(
            {"secret": terminal["secret"], "rows": rows, "columns": columns}).encode()))

    def frame(self):
        """The next frame; None at the end."""
        while True:
            if len(self.buffer) >= 5:
                kind, length = struct.unpack("<BI", self.buffer[:5])
                if len(self.buffer) >= 5 + length:
                    payload, self.buffer = self.buffer[5 : 5 + length], self.buffer[5 + length :]
                    return kind, payload
            part = self.socket.recv(65536)
            if not part:
                return None
            self.buffer += part

    def until(self, wanted):
        while wanted not in self.output[-40000:]:
            got = self.frame()
            assert got, f"closed before {wanted!r}: {self.output[-500:]!r}"
            if got[0] == 17:
                self.output += got[1]
        return self.output

    def kind(self, kind):
        """The payload of the next frame of a kind; None at the end."""
        while (got := self.frame()) and got[0] != kind:
            pass
        return got and got[1]

    def type(self, data):
        self.socket.sendall(frame(2, data))


class TerminalTests(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.TemporaryDirectory()
        self.addCleanup(self.home.cleanup)
        self.addCleanup(self.end_all)

    def command(self, *words, request=None):
        done = subprocess.run(
            [client.RUNNER, "terminal", *words], input=json.dumps(request or {}), capture_output=True, text=True, timeout=30,
            env={"HOME": self.home.name, "SHELL": "/bin/bash", "PATH": os.environ["PATH"]})
        return json.loads(done.stdout.split("martlet-terminal ", 1)[1])

    def start(self, name, **fields):
        return self.command("start", request={"id": name, "command": "exec bash --norc -i", **fields})

    def names(self):
        return sorted(each["id"] for each in self.command("list")["terminals"])

    def end_all(self):
        for name in self.names():
            self.command("end", name)

    def test_a_shell_outlives_its_client(self):
        made = self.start("shell-01", rows=30, columns=100)
        self.assertEqual(self.start("shell-01")["port"], made["port"], "the same id is the same terminal")
        first = Client(made, 31, 100)
        first.type(b"KEPT=here; stty size; echo $((6*7))\n")
        first.until(b"31 100\r\n42\r\n")
        first.socket.close()
        second = Client(made)
        second.until(b"42\r\n")
        second.socket.sendall(frame(5, struct.pack("<HH", 50, 150)))
        second.type(b"echo $KEPT; stty size\n")
        second.until(b"here\r\n50 150\r\n")
        third = Client(made)
        self.assertEqual(json.loads(second.kind(20))["code"], "taken")
        third.type(b"exit 7\n")
        self.assertEqual(json.loads(third.kind(19)), {"exitCode": 7})
        self.assertIsNone(third.frame())
        self.assertEqual(os.listdir(self.home.name + "/.martlet/terminals"), [])

    def test_output_goes_on_without_a_client_and_its_end_is_repeated(self):
        made = self.start("shell-02")
        first = Client(made)
        first.type(b"seq 1 300000; touch ~/done\n")
        first.until(b"\r\n9\r\n")
        first.socket.close()
        client.wait_until(lambda: os.path.exists(self.home.name + "/done"), 30, "the program's end")
        second = Client(made)
        self.assertLessEqual(json.loads(second.kind(16))["replayed"], 256 * 1024)
        self.assertGreater(len(second.until(b"300000\r\n")), 200 * 1024)

    def test_a_client_that_reads_nothing_holds_the_program_up(self):
        made = self.start("shell-03")
        slow = Client(made)
        slow.type(b"stty -echo; seq 1 2000000; touch ~/done\n")
        slow.until(b"\r\n9\r\n")
        time.sleep(1)
        self.assertFalse(os.path.exists(self.home.name + "/done"))
        numbers = [int(each) for each in slow.until(b"2000000\r\n").split() if each.isdigit()]
        self.assertEqual(numbers[-2_000_000:], list(range(1, 2_000_001)))

    def test_who_does_not_know_the_secret_is_cut(self):
        made = self.start("shell-04")
        for said in [frame(1, b'{"secret":"x"}'), frame(1, b"{}"), frame(2, b"ls\n"), b"\x01\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n"]:
            with socket.create_connection(("127.0.0.1", made["port"]), timeout=20) as stranger:
                stranger.sendall(said)
                try:
                    self.assertEqual(stranger.recv(100), b"")
                except ConnectionResetError:
                    pass
        self.assertEqual(os.stat(self.home.name + "/.martlet/terminals/shell-04").st_mode & 0o777, 0o600)

    def test_one_is_hung_up_left_alone_or_killed(self):
        made = self.start("shell-05", command="trap '' HUP; while :; do sleep 1; done")
        begin = time.monotonic()
        self.assertEqual(self.command("end", "shell-05"), {"ended": "shell-05"})
        self.assertLess(time.monotonic() - begin, 6)
        self.assertEqual(self.command("end", "shell-05")["refused"], "not_found")
        self.start("shell-06", idleSeconds=1)
        client.wait_until(lambda: self.names() == [], 15, "its end")
        made = self.start("shell-07")
        os.kill(made["pid"], signal.SIGKILL)
        client.wait_until(lambda: self.names() == [], 15, "its end")
        self.assertEqual(self.command("start", request={"id": "../up"})["refused"], "bad_request")


if __name__ == "__main__":
    unittest.main()
