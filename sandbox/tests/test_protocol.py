"""The wire: what a client may say, what it may not, and that no client can hurt anybody but itself."""

import base64
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import struct
import threading
import time
import unittest

import client
from client import (
    CREDIT,
    EXIT,
    REQUEST,
    SIGNAL,
    STARTED,
    STDIN,
    STDIN_END,
    STDOUT,
    WINDOW,
    Connection,
    Cut,
    Runner,
    frame,
    wait_until,
)


class ProtocolTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.runner = Runner()

    @classmethod
    def tearDownClass(cls):
        code = cls.runner.close()
        assert code == 0, f"the runner exited {code}: {cls.runner.log}"

    def run_bash(self, code, **fields):
        return self.runner.run("bash", code, **fields)

    # ---- Requests

    def test_a_wrong_secret_is_refused(self):
        for secret in ("0" * 64, self.runner.secret[:-1] + "x", self.runner.secret + "0", "", 7, None):
            result = self.runner.run("bash", "echo hi", secret=secret)
            self.assertEqual((result.code, result.stdout), ("unauthorized", b""))

    def test_bad_requests_are_refused_with_a_reason(self):
        cases = [
            dict(op="dance"),
            dict(language=None),
            dict(language=7),
            dict(code=None),
            dict(code=["x"]),
            dict(codeEncoding="rot13"),
            dict(code="%%%", codeEncoding="base64"),
            dict(code="QQ=", codeEncoding="base64"),
            dict(args="x"),
            dict(args=[1]),
            dict(args=["a\0b"]),
            dict(env=[]),
            dict(env={"": "x"}),
            dict(env={"A=B": "x"}),
            dict(env={"A": "x\0y"}),
            dict(env={"A": 1}),
            dict(id=5),
            dict(id="x" * 200),
            dict(id="a\0b"),
            dict(timeoutMs=0),
            dict(timeoutMs=-5),
            dict(timeoutMs=1.5),
            dict(timeoutMs="1"),
            dict(timeoutMs=1 << 62),
            dict(limits=3),
            dict(limits={"memoryMb": 0}),
            dict(limits={"cpuMs": -1}),
            dict(limits={"processes": "9"}),
            dict(files={}),
            dict(files=[7]),
            dict(files=[{"path": "a"}]),
            dict(files=[{"path": "a", "content": 3}]),
            dict(files=[{"path": "a", "content": "x", "encoding": "hex"}]),
        ]
        for fields in cases:
            result = self.runner.finish(self.runner.open(**{"language": "bash", "code": "echo hi", **fields}))
            self.assertEqual((result.code, result.stdout), ("bad_request", b""), fields)
            self.assertGreater(len(result.refused["message"]), 10)

    def test_files_cannot_leave_their_directory(self):
        for path in ("../x", "/etc/x", "a/../../x", "..", ".", "", "a//b", "a/", "./a", "a/./b", "a\0b", "x" * 300):
            result = self.run_bash("echo hi", files=[{"path": path, "content": "x"}])
            self.assertEqual((result.code, result.stdout), ("bad_request", b""), path)
        for paths in (["a", "a"], ["a", "a/b"], ["main.sh"]):
            result = self.run_bash("echo hi", files=[{"path": path, "content": "x"} for path in paths])
            self.assertEqual(result.code, "bad_request", paths)

    def test_files_arguments_and_environment_arrive(self):
        data = bytes(range(256)) * 300
        files = [
            {"path": "d/e/data.bin", "content": base64.b64encode(data).decode(), "encoding": "base64"},
            {"path": "d/täxt", "content": "grüß\0dich"},
        ]
        code = (
            'sha256sum < d/e/data.bin; cat d/täxt; echo "$1|$2|$A|$MARTLET_EXECUTION_ID|$HOME|$PWD|$USER|$LANG"; umask'
        )
        result = self.run_bash(code, files=files, args=["a b", "*"], env={"A": "ä\n"}, id="e_1")
        self.assertIn(hashlib.sha256(data).hexdigest().encode(), result.stdout)
        self.assertIn("grüß\0dich".encode(), result.stdout)
        self.assertIn(f"a b|*|ä\n|e_1|{self.runner.home}|/tmp/run|martlet|C.UTF-8\n".encode(), result.stdout)

    def test_nothing_of_the_runners_environment_or_descriptors_is_inherited(self):
        result = self.runner.run("python", "import os\nprint(sorted(os.environ)); print(os.listdir('/proc/self/fd'))")
        self.assertNotIn(b"RUNNER_ENVIRONMENT", result.stdout)
        self.assertIn(b"['0', '1', '2', '3']", result.stdout)  # 3 is the listing itself

    def test_code_may_hold_nul_and_come_as_base64(self):
        plain = self.runner.run("perl", 'print length("a\0b"), "\n";')
        encoded = self.runner.run(
            "perl", base64.b64encode(b'print length("\xff\0b"), "\n";').decode(), codeEncoding="base64"
        )
        self.assertEqual((plain.stdout, encoded.stdout), (b"3\n", b"3\n"))

    def test_too_much_environment_is_a_bad_request_not_a_crash(self):
        result = self.run_bash("echo hi", env={"A": "x" * 300_000})
        self.assertEqual(result.code, "bad_request")

    def test_limits_above_the_ceiling_are_lowered_to_it(self):
        result = self.run_bash("df -m --output=size /tmp | tail -1", limits={"memoryMb": 1_000_000, "processes": 99999})
        self.assertEqual(result.stdout.strip(), b"4096")

    def test_unknown_languages_and_missing_packages_are_told_apart(self):
        folder = os.path.join(self.runner.runtimes, "elvish")
        os.mkdir(folder)
        spec = {
            "name": "elvish",
            "title": "Elvish",
            "aliases": ["elv"],
            "extensions": ["elv"],
            "file": "main.elv",
            "packages": ["elvish-shell"],
            "version": ["no-such-elvish", "-v"],
            "run": ["no-such-elvish", "{file}"],
        }
        with open(os.path.join(folder, "runtime.json"), "w") as file:
            json.dump(spec, file)
        os.utime(self.runner.runtimes)
        self.assertEqual(self.runner.run("klingon", "x").code, "unknown_language")
        missing = self.runner.run("ELV", "x")
        self.assertEqual(missing.code, "runtime_unavailable")
        self.assertIn("elvish-shell", missing.refused["message"])
        listed = {one["name"]: one for one in self.runner.ask("runtimes")["runtimes"]}
        self.assertEqual((listed["elvish"]["available"], listed["elvish"]["missing"]), (False, ["elvish-shell"]))
        self.assertTrue(listed["bash"]["available"])
        self.assertRegex(listed["bash"]["version"], r"^\d+\.\d+")

    def test_ping_says_how_runs_are_confined(self):
        answer = self.runner.ask("ping")
        self.assertTrue(answer["confinement"]["namespaces"] and answer["confinement"]["seccomp"])
        self.assertGreaterEqual(answer["uptimeMs"], 0)

    # ---- Output

    def test_output_is_live(self):
        connection = self.runner.open(language="bash", code="for i in 0 1 2; do echo $i; sleep 0.3; done")
        times = []
        for i in range(3):
            self.assertEqual(connection.receive_until(STDOUT), b"%d\n" % i)
            times.append(time.monotonic())
        self.assertTrue(all(0.15 < later - earlier < 2 for earlier, later in zip(times, times[1:])), times)
        connection.close()

    def test_output_is_bytes(self):
        code = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 4000)"
        self.assertEqual(self.runner.run("python", code).stdout, bytes(range(256)) * 4000)

    def test_the_program_may_open_its_streams_by_name(self):
        self.assertEqual(self.run_bash('python3 -c \'open("/dev/stdout", "w").write("ok")\'').stdout, b"ok")

    def test_a_client_that_does_not_read_costs_no_memory_and_loses_nothing(self):
        size = 300 << 20
        code = f"import os\nblock = bytes(range(256)) * 4096\nfor i in range({size} >> 20): os.write(1, block)"
        connection = self.runner.open(receive_buffer=64 << 10, language="python", code=code)
        json.loads(connection.receive_until(STARTED))
        time.sleep(1)  # what is tested is that nothing happens in this time
        resident = [self.private_kilobytes(pid) for pid in self.runner.descendants() - set(self.runner.programs())]
        self.assertEqual(len(resident), 2)  # supervisor and init
        if not client.SANITIZED:
            self.assertLess(max(resident), 256)
        digest, wanted, received = hashlib.sha256(), hashlib.sha256(bytes(range(256)) * (size // 256)), 0
        while True:
            kind, payload = connection.receive()
            if kind == STDOUT:
                digest.update(payload)
                received += len(payload)
            elif kind == EXIT:
                break
        self.assertEqual((received, digest.digest()), (size, wanted.digest()))

    @staticmethod
    def private_kilobytes(pid):
        return sum(
            int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Private_Dirty")
        )

    # ---- Input

    def test_stdin_is_echoed_until_its_end(self):
        code = "import sys\nfor line in sys.stdin: print(line.upper(), end='')\nprint('end')"
        connection = self.runner.open(language="python", code=code)
        for word in (b"one\n", b"two\n"):
            connection.send(STDIN, word)
            self.assertEqual(connection.receive_until(STDOUT), word.upper())
        connection.send(STDIN, b"")
        connection.send(WINDOW, struct.pack("<HH", 24, 80))
        connection.send(STDIN_END)
        self.assertEqual(self.runner.finish(connection).stdout, b"end\n")

    def test_stdin_within_its_credit_arrives_whole(self):
        data = os.urandom(3 << 20)
        connection = self.runner.open(language="bash", code="sha256sum; sleep 0.1")
        credit, sent = 0, 0
        while sent < len(data):
            while credit == 0:
                credit += struct.unpack("<I", connection.receive_until(CREDIT))[0]
            piece = data[sent : sent + min(credit, 50_000)]
            connection.send(STDIN, piece)
            credit, sent = credit - len(piece), sent + len(piece)
        connection.send(STDIN_END)
        self.assertIn(hashlib.sha256(data).hexdigest().encode(), self.runner.finish(connection).stdout)

    def test_credit_is_what_the_program_took(self):
        connection = self.runner.open(language="bash", code="exec 0<&-; sleep 0.5")
        connection.send(STDIN, b"x" * 60_000)
        result = self.runner.finish(connection)
        self.assertEqual(result.reason, "exited")
        self.assertGreaterEqual(result.credit, 65_536)
        self.assertLessEqual(result.credit, 65_536 + 60_000)

    def test_more_stdin_than_credited_ends_the_run(self):
        connection = self.runner.open(language="bash", code="sleep 60")
        for _ in range(5):
            connection.send(STDIN, b"x" * 60_000)  # the pipe takes 64 KiB, the credit another 64
        self.assertEqual(self.runner.finish(connection).code, "bad_request")
        wait_until(lambda: not self.runner.programs(), 1, "the end of the run")

    def test_a_signal_reaches_the_program_even_behind_stdin_it_does_not_read(self):
        code = "from signal import *\nsignal(SIGUSR1, lambda *_: exit(7))\nprint('ready', end='')\npause()"
        connection = self.runner.open(language="python", code=code)
        self.assertEqual(connection.receive_until(STDOUT), b"ready")
        connection.send(STDIN, b"x" * 65_536)
        connection.send(STDIN, b"x" * 60_000)
        connection.send(SIGNAL, struct.pack("<i", signal.SIGUSR1))
        self.assertEqual(self.runner.finish(connection).exit["exitCode"], 7)

    def test_interrupt_ends_a_pipeline_as_in_a_terminal(self):
        connection = self.runner.open(language="bash", code="echo ready; sleep 60 | sleep 60")
        connection.receive_until(STDOUT)
        connection.send(SIGNAL, struct.pack("<i", signal.SIGINT))
        self.assertEqual(self.runner.finish(connection).exit["signal"], "SIGINT")

    # ---- Leaving

    def leave(self, prepare, leave):
        connection = self.runner.open(
            language="bash", code="echo ready; (setsid sleep 60 &) ; sleep 60 & yes > /dev/null"
        )
        connection.receive_until(STDOUT)
        prepare(connection)
        wait_until(lambda: len(self.runner.programs()) >= 4, 2, "the start of the tree")
        leave(connection)
        wait_until(lambda: not self.runner.programs(), 1, "the end of the tree")
        wait_until(lambda: not self.runner.descendants(), 3, "the end of the supervisor")
        connection.close()

    def test_a_client_that_leaves_ends_the_whole_tree(self):
        def reset(connection):
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        self.leave(lambda _: None, lambda connection: connection.close())
        self.leave(lambda _: None, reset)
        self.leave(lambda _: None, lambda connection: connection.socket.shutdown(socket.SHUT_WR))
        full = frame(STDIN, b"x" * 60_000)
        self.leave(lambda connection: connection.socket.sendall(full * 2), lambda connection: connection.close())

    def test_a_client_that_leaves_while_the_compiler_works_ends_it(self):
        connection = self.runner.open(language="cpp", code="#include <bits/stdc++.h>\nint main() {}")
        wait_until(self.runner.programs, 2, "the start of the compiler")
        connection.close()
        wait_until(lambda: not self.runner.programs(), 1, "the end of the compiler")

    # ---- Malice

    def test_malformed_frames_are_refused_or_dropped(self):
        good = frame(REQUEST, self.runner.request(language="bash", code="sleep 60"))
        for bytes_sent in (
            frame(STDIN, b"x"),
            frame(0),
            frame(255, b"xyz"),
            struct.pack("<BI", REQUEST, 1 << 31),
            struct.pack("<BI", REQUEST, (16 << 20) + 1),
            frame(REQUEST),
            frame(REQUEST, b"\xff\xfe"),
            frame(REQUEST, b"[]"),
            frame(REQUEST, b"{"),
            frame(REQUEST, b'{"secret":' * 5000),
            frame(REQUEST, b'{"a":1,"a":2}'),
            good + frame(77),
            good + good,
            good + frame(SIGNAL, b"x"),
            good + frame(SIGNAL, struct.pack("<i", 999)),
            good + frame(SIGNAL, struct.pack("<i", -9)),
            good + frame(STDIN_END, b"x"),
            good + frame(WINDOW, b"12345"),
            good + struct.pack("<BI", STDIN, (1 << 20) + 1),
            good + struct.pack("<BI", STDIN, 0xFFFFFFFF),
        ):
            connection = Connection(self.runner.port)
            connection.socket.sendall(bytes_sent)
            result = self.runner.finish(connection)
            self.assertIn(result.code, ("bad_request", "unauthorized"), bytes_sent[-40:])
        wait_until(lambda: not self.runner.programs(), 1, "the end of the runs")

    def test_truncated_streams_leave_nothing_behind(self):
        good = frame(REQUEST, self.runner.request(language="bash", code="sleep 60"))
        for length in (0, 1, 4, 5, 6, len(good) // 2, len(good) - 1):
            connection = Connection(self.runner.port)
            connection.socket.sendall(good[:length])
            connection.close()
        for tail in (b"\x02", frame(STDIN, b"xyz")[:-1], struct.pack("<BI", SIGNAL, 4) + b"\0\0"):
            connection = Connection(self.runner.port)
            connection.socket.sendall(good + tail)
            connection.receive_until(STARTED)
            connection.close()
        wait_until(lambda: not self.runner.descendants(), 3, "the end of all supervisors")

    def test_random_bytes_never_hurt(self):
        chance = random.Random(4611)
        good = frame(REQUEST, self.runner.request(language="bash", code="cat > /dev/null"))
        for round in range(150):
            noise = chance.randbytes(chance.randrange(1, 3000))
            if round % 2:
                noise = good + noise
            elif round % 4:
                damaged = bytearray(good)
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
                noise = bytes(damaged)
            connection = Connection(self.runner.port)
            try:
                connection.socket.sendall(noise)
                connection.socket.shutdown(socket.SHUT_WR)
                while connection.socket.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
            connection.close()
        self.assertEqual(self.run_bash("echo alive").stdout, b"alive\n")
        wait_until(lambda: not self.runner.descendants(), 3, "the end of all supervisors")

    # ---- Many

    def test_a_hundred_runs_at_once(self):
        results, count = [], 20 if client.SANITIZED else 100

        def one(i):
            connection = self.runner.open(language="bash", code=f"echo {i}; read line; echo $line", timeoutMs=60000)
            connection.send(STDIN, b"in %d\n" % i)
            results.append(self.runner.finish(connection).stdout)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(results), sorted(b"%d\nin %d\n" % (i, i) for i in range(count)))

    def test_one_run_too_many_is_told_so(self):
        idle = [Connection(self.runner.port) for _ in range(1024)]
        wait_until(lambda: len(self.runner.descendants()) >= 1024, 10, "the supervisors")
        self.assertEqual(self.run_bash("echo hi").code, "too_busy")
        self.assertGreaterEqual(self.runner.ask("ping")["runs"], 1024)
        for connection in idle:
            connection.close()
        wait_until(lambda: not self.runner.descendants(), 5, "the end of the supervisors")
        self.assertEqual(self.run_bash("echo hi").stdout, b"hi\n")


class EndOfTheRunnerTests(unittest.TestCase):
    def start(self):
        runner = Runner()
        self.addCleanup(runner.close)
        connections = [
            runner.open(language="bash", code="echo ready; (setsid sleep 60 &) ; trap '' TERM; sleep 60; sleep 60")
            for _ in range(3)
        ]
        for connection in connections:
            connection.receive_until(STDOUT)
        return runner, connections

    def test_sigterm_ends_all_runs_and_tells_their_clients(self):
        runner, connections = self.start()
        started = time.monotonic()
        self.assertEqual(runner.close(), 0)
        self.assertLess(time.monotonic() - started, 5)
        self.assertEqual(runner.programs(), [])
        for connection in connections:
            self.assertEqual(runner.finish(connection).reason, "cancelled")

    def test_a_killed_runner_leaves_nothing(self):
        runner, connections = self.start()
        runner.process.kill()
        runner.process.wait()
        wait_until(lambda: not runner.programs(), 1, "the end of all programs")
        for connection in connections:
            with self.assertRaises((Cut, ConnectionResetError)):
                runner.finish(connection)

    def test_a_killed_supervisor_leaves_nothing(self):
        runner, _ = self.start()
        for pid, (_, parent) in client.processes().items():
            if parent == runner.process.pid:
                with contextlib.suppress(ProcessLookupError):  # one that ends by itself meanwhile
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not runner.descendants(), 1, "the end of all processes")
        self.assertEqual(runner.run("bash", "echo alive").stdout, b"alive\n")
