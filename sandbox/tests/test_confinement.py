"""What a run cannot see and cannot do."""

import os
import re
import shutil
import subprocess
import unittest

import client
from client import USER, Runner, wait_until
from run_tests import c_program


class ConfinementTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.runner = Runner()

    @classmethod
    def tearDownClass(cls):
        cls.runner.close()

    def run_bash(self, code, **fields):
        return self.runner.run("bash", code, **fields)

    def test_the_program_is_nobody_and_stays_so(self):
        result = self.run_bash(
            "id -u; id -g; id -G; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; umask; ulimit -c"
        )
        lines = result.stdout.decode().split("\n")
        self.assertEqual(lines[:3], [str(USER)] * 3)
        values = dict(re.findall(r"(\w+):\s+(\w+)", result.stdout.decode()))
        self.assertTrue(all(int(values["Cap" + which], 16) == 0 for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")))
        self.assertEqual((values["NoNewPrivs"], values["Seccomp"]), ("1", "2"))

    def test_other_processes_are_hidden(self):
        pids = self.run_bash("ls /proc | grep -E '^[0-9]+$'").stdout.split()
        self.assertNotIn(b"1", pids)
        self.assertLessEqual(len(pids), 4)

    def test_the_runners_secrets_cannot_be_read(self):
        code = f"cat {self.runner.config} /proc/1/cmdline /proc/1/maps /proc/*/environ; ls /proc/1/fd"
        result = self.run_bash(code)
        self.assertNotIn(self.runner.secret.encode(), result.stdout)
        self.assertNotIn(b"RUNNER_ENVIRONMENT", result.stdout)
        self.assertNotIn(b"martlet-runner-test", result.stdout.replace(self.runner.home.encode(), b""))

    def test_the_runner_cannot_be_killed_or_stopped(self):
        for target in ("1", "-1"):
            result = self.run_bash(f"trap '' TERM; kill -KILL {target}; kill -STOP 1; kill -TERM 1; echo still here")
            self.assertIn(result.reason, ("exited", "signaled"))
        self.assertEqual(self.run_bash("echo alive").stdout, b"alive\n")

    def test_the_machines_network_is_out_of_reach_but_loopback_works(self):
        code = f"""if True:
            import socket
            try:
                socket.create_connection(('127.0.0.1', {self.runner.port}), 2); print('reached the runner')
            except ConnectionRefusedError:
                print('refused')
            server = socket.create_server(('127.0.0.1', 0))
            client = socket.create_connection(server.getsockname(), 2)
            print('own loopback works')"""
        self.assertEqual(self.runner.run("python", code).stdout, b"refused\nown loopback works\n")

    def test_the_system_cannot_be_written(self):
        places = "/ /usr /etc /opt /var /root /sys /proc/sys/kernel"
        code = f"for at in {places}; do (echo x > $at/martlet) 2> /dev/null && echo $at; done; true"
        self.assertEqual(self.run_bash(code).stdout, b"")

    def test_mounts_and_namespaces_are_refused_in_a_run(self):
        code = """if True:
            import ctypes, errno
            libc = ctypes.CDLL(None, use_errno=True)
            for call in (lambda: libc.unshare(0x10000000), lambda: libc.mount(b'x', b'/tmp', b'tmpfs', 0, None),
                         lambda: libc.ptrace(0, 0, 0, 0), lambda: libc.syscall(425, 1, 0),
                         lambda: libc.socket(17, 3, 0)):
                call(); print(errno.errorcode[ctypes.get_errno()])"""
        self.assertEqual(
            self.runner.run("python", code).stdout.split(), [b"EPERM", b"EPERM", b"EPERM", b"ENOSYS", b"EAFNOSUPPORT"]
        )

    def test_every_rule_of_the_filter_trips(self):
        program = c_program("policy_test", ["policy", "util"])
        result = subprocess.run([program], capture_output=True, text=True, timeout=120)
        self.assertEqual(
            result.returncode,
            0,
            "\n".join(line for line in result.stdout.split("\n") if "FAILED" in line) + result.stderr,
        )
        source = open(os.path.join(client.SOURCES, "policy.c")).read()
        tables = source[source.index("denied[] = {") : source.index("static void deny(")]
        for name in re.findall(r'"(\w+)"', tables):
            if name != "umount":  # of other architectures
                self.assertRegex(result.stdout, rf"ok {name}\b")

    def test_the_parser_of_frames_takes_anything(self):
        subprocess.run([c_program("frame_test", ["frame", "util"])], check=True, stdout=subprocess.DEVNULL, timeout=300)


class WarmConfinementTests(ConfinementTests):
    """The same walls around runs that were made ahead."""

    @classmethod
    def setUpClass(cls):
        cls.runner = Runner(warm=True)
        cls.runner.warm_up()
        cls.runner.warm_up("python")

    test_every_rule_of_the_filter_trips = test_the_parser_of_frames_takes_anything = None


class SharedNetworkTests(unittest.TestCase):
    def test_a_shared_network_is_shared(self):
        runner = Runner(network="shared")
        self.addCleanup(runner.close)
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {runner.port}), 2); print('reached')"
        self.assertEqual(runner.run("python", code).stdout, b"reached\n")
        self.assertFalse(runner.ask("ping")["confinement"]["network"])


class WithoutNamespacesTests(unittest.TestCase):
    """Where the runner has no privilege for namespaces: as in an ordinary Docker container, or as an ordinary user."""

    def check(self, runner, owner):
        self.addCleanup(runner.close)
        self.assertFalse(runner.ask("ping")["confinement"]["namespaces"])
        result = runner.run("bash", "id -u; pwd; (setsid sleep 60 &); sleep 60 & echo x > $TMPDIR/y; sleep 0.2; exit 4")
        owner_line, directory = result.stdout.decode().split()
        self.assertEqual((result.reason, result.exit["exitCode"], owner_line), ("exited", 4, str(owner)))
        wait_until(lambda: not runner.descendants(), 1, "the end of the supervisor")
        wait_until(lambda: not os.path.exists(directory), 2, "the removal of the run's directory")
        self.assertEqual(runner.run("bash", "(setsid sleep 60 &); sleep 60", timeoutMs=200).reason, "timeout")
        self.assertEqual(
            runner.run(
                "python", "keep = []\nwhile True: keep.append(bytearray(1 << 20))", limits={"memoryMb": 100}
            ).reason,
            "memory",
        )
        connection = runner.open(language="bash", code="echo ready; (setsid sleep 60 &); sleep 60")
        connection.receive_until(client.STDOUT)
        connection.close()
        wait_until(lambda: not runner.descendants(), 2, "the end of the tree")

    @unittest.skipUnless(shutil.which("setpriv"), "needs setpriv")
    def test_as_root_without_privilege(self):
        drop = ["setpriv", "--bounding-set=-sys_admin,-net_admin", "--inh-caps=-all"]
        self.check(Runner(command=drop), USER)

    @unittest.skipUnless(shutil.which("setpriv"), "needs setpriv")
    def test_as_an_ordinary_user(self):
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        self.check(Runner(command=become, owner=USER), USER)

    @unittest.skipUnless(shutil.which("setpriv"), "needs setpriv")
    def test_what_programs_leave_in_shared_places_is_removed_after_the_last_of_them(self):
        runner = Runner(command=["setpriv", "--bounding-set=-sys_admin,-net_admin", "--inh-caps=-all"])
        self.addCleanup(runner.close)
        mark = f"martlet-test-{os.getpid()}"
        places = [place for place in ("/tmp", "/var/tmp", "/dev/shm") if os.path.isdir(place)]
        kept = f"/tmp/{mark}-of-a-terminal"
        open(kept, "w").close()
        os.chown(kept, USER, USER)
        self.addCleanup(os.unlink, kept)
        plant = f"""if True:
            import ctypes, os
            for place in {places}:
                path = place + '/{mark}'
                os.makedirs(path + '/a/b')
                os.symlink('/etc/passwd', path + '/link')
                os.mkfifo(path + '/a/b/fifo')
                os.chmod(path + '/a/b', 0)
                os.chmod(path + '/a', 0)
            os.chdir('/tmp/{mark}')
            for _ in range(3000):
                os.mkdir('d')
                os.chdir('d')
            os.chmod('/tmp/{mark}', 0)
            open('in-the-run', 'w').close()
            print(ctypes.CDLL(None).shmget(0x{USER}, 4096, 0o1600) >= 0, os.path.exists('{kept}'))"""

        def left():
            keys = open("/proc/sysvipc/shm").read()
            return [place for place in places if os.path.lexists(f"{place}/{mark}")] + [
                line for line in keys.split("\n") if f" {USER} " in line
            ]

        other = runner.open(language="bash", code="echo up; read x")
        other.receive_until(client.STDOUT)
        self.assertEqual(runner.run("python", plant).stdout, b"True True\n")
        self.assertEqual(len(left()), len(places) + 1)  # the other may be whose they are
        other.send(client.STDIN_END)
        runner.finish(other)
        self.assertEqual(left(), [])
        self.assertTrue(os.path.exists(kept))
        self.assertEqual(runner.run("python", plant).stdout, b"True True\n")
        self.assertEqual(left(), [])

    def check_ahead(self, runner):
        """What was made ahead ends as completely, although its init is nobody's child here."""
        self.addCleanup(runner.close)
        runner.warm_up()
        self.assertEqual(runner.kits("python"), 0)

        def only_those_that_wait():
            ready = sum(kind["ready"] for kind in runner.ask("ping")["warm"].values())
            return len(commands(b"sleep\x004611")) == 0 and ready > 0

        def commands(words):
            found = []
            for pid in runner.descendants():
                try:
                    if words in open(f"/proc/{pid}/cmdline", "rb").read():
                        found.append(pid)
                except (FileNotFoundError, ProcessLookupError):
                    pass
            return found

        served = runner.ask("ping")["warm"]["plain"]["served"]
        for code, fields, reason in (
            ("(setsid sleep 4611 &); sleep 4611 & sleep 0.1; exit 4", {}, "exited"),
            ("(setsid sleep 4611 &); sleep 4611", {"timeoutMs": 200}, "timeout"),
            ("kill -9 $$", {}, "signaled"),
        ):
            wait_until(lambda: runner.kits("plain"), 5, "a kit")
            result = runner.run("bash", code, **fields)
            self.assertEqual(result.reason, reason)
            wait_until(only_those_that_wait, 3, "the end of the tree")
        connection = runner.open(language="bash", code="echo ready; (setsid sleep 4611 &); sleep 4611")
        connection.receive_until(client.STDOUT)
        connection.close()
        wait_until(only_those_that_wait, 3, "the end of the tree")
        self.assertGreaterEqual(runner.ask("ping")["warm"]["plain"]["served"], served + 3)
        directory = runner.run("bash", "pwd").stdout.decode().strip()
        wait_until(lambda: not os.path.exists(directory), 2, "the removal of the run's directory")

    @unittest.skipUnless(shutil.which("setpriv"), "needs setpriv")
    def test_made_ahead_as_root_without_privilege(self):
        self.check_ahead(
            Runner(command=["setpriv", "--bounding-set=-sys_admin,-net_admin", "--inh-caps=-all"], warm=True)
        )

    @unittest.skipUnless(shutil.which("setpriv"), "needs setpriv")
    def test_made_ahead_as_an_ordinary_user(self):
        become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        self.check_ahead(Runner(command=become, owner=USER, warm=True))


class NestTests(unittest.TestCase):
    def nest(self, *before):
        return subprocess.run([*before, client.RUNNER, "nest"], capture_output=True, timeout=20).returncode

    def test_a_container_s_root_becomes_one_with_every_right(self):
        held = "-all,+chown,+dac_override,+kill,+setgid,+setpcap,+setuid"
        self.assertEqual(self.nest("setpriv", f"--bounding-set={held}", "--inh-caps=-all"), 0)

    def test_others_do_not(self):
        self.assertNotEqual(self.nest("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"), 0)
        self.assertNotEqual(self.nest("setpriv", "--bounding-set=-all", "--inh-caps=-all"), 0)
