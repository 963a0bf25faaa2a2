"""The runner as init of a local VM: root of a user namespace, sshd for whoever connects."""

import os
import shutil
import socket
import struct
import subprocess
import unittest

import client
from client import wait_until
from vm import VM


@unittest.skipUnless(shutil.which("crun") and os.path.exists("/usr/sbin/sshd"), "needs crun and openssh-server")
class LocalVMTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vm = VM()
        cls.addClassCleanup(cls.vm.close)
        cls.runner, cls.tunnel = cls.vm.forward()

    @classmethod
    def tearDownClass(cls):
        cls.tunnel.terminate()
        cls.tunnel.wait()
        code, seconds = cls.vm.stop()
        assert (
            code == 0 and seconds < 1.5
        ), f"the VM's init ended with {code} after {seconds} s: {open(cls.vm.log).read()}"
        assert not cls.vm.processes(), "processes were left"

    def test_runs_are_confined_as_on_a_machine_of_their_own(self):
        confinement = self.runner.ask("ping")["confinement"]
        self.assertTrue(
            confinement["namespaces"] and confinement["network"] and confinement["user"] and confinement["seccomp"]
        )
        result = self.runner.run(
            "bash", "id -u; ls /proc | grep -c '^[0-9]'; cat /etc/martlet/runner.json /proc/1/environ; ls ~/.. "
        )
        self.assertEqual(result.stdout.split()[0], b"1000")
        self.assertNotIn(self.vm.secret.encode(), result.stdout)

    def test_runs_are_made_ahead_here_too(self):
        for language, code in {"plain": None, "python": "print(2)", "javascript": "console.log(2)"}.items():
            self.runner.run(language if code else "bash", "")
            wait_until(lambda: self.runner.kits(language), 20, f"a kit for {language}: {open(self.vm.log).read()}")
            if code:
                served = self.runner.ask("ping")["warm"][language]["served"]
                self.assertEqual(self.runner.run(language, code).stdout, b"2\n")
                self.assertEqual(self.runner.ask("ping")["warm"][language]["served"], served + 1)

    def test_what_was_compiled_is_kept_here_too(self):
        for found in (0, 1):
            self.assertEqual(self.runner.run("c", "int main(void) { return 3; }").exit["exitCode"], 3)
            self.assertEqual(self.runner.ask("ping")["compiled"]["found"], found)

    def test_limits_hold(self):
        code = "keep = []\nwhile True: keep.append(bytearray(4 << 20))"
        self.assertEqual(self.runner.run("python", code, limits={"memoryMb": 150}).reason, "memory")
        code = "import subprocess\nkeep = [subprocess.Popen(['sleep', '9']) for i in range(60)]"
        self.assertEqual(self.runner.run("python", code, limits={"processes": 20}).reason, "processes")
        self.assertEqual(self.runner.run("bash", "sleep 60 & sleep 60", timeoutMs=200).reason, "timeout")

    def test_a_login_by_ssh_works_with_and_without_a_terminal(self):
        plain = subprocess.run(
            [*self.vm.ssh(), "id -un; echo err >&2; exit 3"], capture_output=True, text=True, timeout=20
        )
        self.assertEqual((plain.stdout, plain.stderr, plain.returncode), ("martlet\n", "err\n", 3))
        terminal = subprocess.run([*self.vm.ssh("-tt"), "tty"], capture_output=True, text=True, timeout=20, input="")
        self.assertIn("/dev/pts/", terminal.stdout)

    def test_the_greeting_says_that_answers_are_not_held_back(self):
        with socket.create_connection(("127.0.0.1", self.vm.port), 10) as connection:
            greeting = connection.makefile("rb").readline()
            connection.sendall(b"SSH-2.0-test\r\n")  # or the server would write of it in its log
        self.assertTrue(greeting.startswith(b"SSH-2.0-OpenSSH"), greeting)
        self.assertTrue(greeting.endswith(b" tcp-nodelay\r\n"), greeting)

    def test_the_home_is_kept_between_runs_and_seen_by_ssh(self):
        self.runner.run("bash", "echo from a run > ~/note")
        plain = subprocess.run([*self.vm.ssh(), "cat note"], capture_output=True, text=True, timeout=20)
        self.assertEqual(plain.stdout, "from a run\n")

    def test_many_channels_of_one_connection_run_at_once(self):
        connections = [self.runner.open(language="bash", code=f"read line; echo $line {i}") for i in range(60)]
        for connection in connections:
            connection.send(client.STDIN, b"go\n")
        outputs = [self.runner.finish(connection).stdout for connection in connections]
        self.assertEqual(outputs, [b"go %d\n" % i for i in range(60)])

    def test_a_client_that_leaves_ends_its_run_through_ssh_too(self):
        connection = self.runner.open(language="bash", code="echo ready; (setsid sleep 4611 &) ; sleep 4611")
        connection.receive_until(client.STDOUT)
        connection.send(client.STDIN, b"x" * 60_000)
        connection.close()
        wait_until(lambda: not self.commands(b"sleep\0" + b"4611"), 1, "the end of the tree")

    def test_orphans_of_logins_are_reaped(self):
        subprocess.run(
            [*self.vm.ssh(), "for i in 1 2 3 4 5; do (setsid sleep 0.1 > /dev/null 2>&1 &); done"],
            check=True,
            timeout=20,
        )
        wait_until(lambda: not self.commands(b"sleep\0" + b"0.1"), 3, "the end of the orphans")
        result = subprocess.run(
            [*self.vm.ssh(), "ps -e -o stat= | grep -c Z"], capture_output=True, text=True, timeout=20
        )
        self.assertEqual(result.stdout, "0\n")

    def commands(self, words):
        found = []
        for pid in self.vm.processes():
            try:
                if words in open(f"/proc/{pid}/cmdline", "rb").read():
                    found.append(pid)
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found
