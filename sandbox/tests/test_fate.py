"""How runs end, and that what is said about it is true."""

import os
import time
import unittest

import client
from client import STDIN_END, STDOUT, Runner, wait_until


class FateTests(unittest.TestCase):
    """Of a runner without control groups: it watches the limits itself."""

    cgroup, warm, command = None, False, ()

    @classmethod
    def setUpClass(cls):
        cls.runner = Runner(cgroup=cls.cgroup, warm=cls.warm, command=cls.command)
        if cls.warm:
            cls.runner.warm_up()
            cls.runner.warm_up("python")

    @classmethod
    def tearDownClass(cls):
        code = cls.runner.close()
        assert code == 0, f"the runner exited {code}: {cls.runner.log}"

    def run_bash(self, code, **fields):
        return self.runner.run("bash", code, **fields)

    def assert_gone(self):
        """The exit frame is a promise: nothing of the run is left by the time it is read."""
        if not self.warm:
            self.assertEqual(self.runner.programs(), [])
            return

        def only_those_that_wait():
            return len(self.runner.programs()) == sum(kind["ready"] for kind in self.runner.ask("ping")["warm"].values())

        wait_until(only_those_that_wait, 5, "the end of all but what waits")

    def test_streams_are_apart_and_the_exit_code_is_the_programs(self):
        result = self.run_bash("echo out; echo err >&2; exit 3")
        self.assertEqual((result.stdout, result.stderr), (b"out\n", b"err\n"))
        self.assertEqual((result.exit["exitCode"], result.exit["signal"], result.reason), (3, None, "exited"))
        self.assertFalse(result.exit["truncated"])
        self.assertGreater(result.started["pid"], 0)

    def test_signals_do_to_the_program_what_they_do_anywhere(self):
        for name in ("SEGV", "KILL", "TERM", "INT", "ABRT"):
            result = self.run_bash(f"echo before; kill -{name} $$; sleep 5; echo after")
            self.assertEqual(result.exit["signal"], "SIG" + name)
            self.assertIsNone(result.exit["exitCode"])
            self.assertEqual((result.reason, result.stdout), ("signaled", b"before\n"))

    def test_a_real_crash_is_a_crash(self):
        result = self.runner.run("c", "int main(void) { return *(volatile int *)0; }")
        self.assertEqual((result.reason, result.exit["signal"], result.exit["stage"]), ("signaled", "SIGSEGV", "run"))

    def test_a_timeout_ends_the_children_too_and_keeps_the_output(self):
        started = time.monotonic()
        result = self.run_bash("echo kept; sleep 100 & (sleep 100 & sleep 100); sleep 100", timeoutMs=300)
        self.assertEqual((result.reason, result.stdout), ("timeout", b"kept\n"))
        self.assertIsNone(result.exit["exitCode"])
        self.assertLess(time.monotonic() - started, 2)
        self.assertGreaterEqual(result.exit["durationMs"], 300)
        self.assert_gone()

    def test_processor_time_is_limited_over_the_whole_tree(self):
        result = self.run_bash("for i in 1 2 3; do (while :; do :; done) & done; wait", limits={"cpuMs": 600})
        self.assertEqual(result.reason, "timeout")
        self.assertGreaterEqual(result.exit["cpuMs"], 600)
        self.assertLess(result.exit["cpuMs"], 1200)
        self.assertLess(result.exit["durationMs"], 5000)
        self.assert_gone()

    def test_processor_time_of_ended_children_counts(self):
        result = self.runner.run(
            "python", "import os\nif not os.fork():\n    sum(range(30_000_000)); os._exit(0)\nos.wait()"
        )
        self.assertEqual(result.reason, "exited")
        self.assertGreater(result.exit["cpuMs"], 120)

    def test_memory_is_limited(self):
        code = "print('kept', flush=True)\nkeep = []\nwhile True: keep.append(bytearray(4 << 20))"
        result = self.runner.run("python", code, limits={"memoryMb": 200})
        self.assertEqual((result.reason, result.stdout), ("memory", b"kept\n"))
        self.assertGreater(result.exit["maxRssBytes"], 100 << 20)
        self.assertLess(result.exit["maxRssBytes"], 600 << 20)

    def test_memory_is_limited_over_the_whole_tree(self):
        code = """if True:
            import os, sys, time
            children = []
            for i in range(6):
                child = os.fork()
                if child == 0:
                    block = bytearray(b'x') * (60 << 20); time.sleep(20); os._exit(0)
                children.append(child)
            sys.exit(max(os.waitpid(child, 0)[1] for child in children) and 1)"""
        result = self.runner.run("python", code, limits={"memoryMb": 200}, timeoutMs=15000)
        self.assertEqual(result.reason, "memory")

    def test_pages_shared_by_forks_are_counted_once(self):
        code = """if True:
            import os, time
            block = bytearray(b'x') * (60 << 20)
            children = []
            for i in range(8):
                child = os.fork()
                if child == 0:
                    time.sleep(0.3); os._exit(0)
            for i in range(8): os.wait()"""
        self.assertEqual(self.runner.run("python", code, limits={"memoryMb": 200}).reason, "exited")

    def test_files_in_tmp_are_bounded_by_the_memory_limit(self):
        result = self.run_bash("head -c 300M /dev/zero > /tmp/big; echo $?", limits={"memoryMb": 100})
        self.assertTrue(result.reason == "memory" or result.stdout == b"1\n", result)

    def test_the_output_cap_is_exact(self):
        def run(count, cap):
            code = f"import sys\nsys.stdout.write('o' * {count - 10}); sys.stdout.flush(); sys.stderr.write('e' * 10)"
            return self.runner.run("python", code, limits={"outputBytes": cap})

        under, over = run(5000, 5000), run(5001, 5000)
        self.assertEqual(
            (under.reason, under.exit["truncated"], len(under.stdout + under.stderr)), ("exited", False, 5000)
        )
        self.assertEqual(
            (over.reason, over.exit["truncated"], len(over.stdout + over.stderr)), ("output_limit", True, 5000)
        )
        flood = self.run_bash("yes", limits={"outputBytes": 1 << 20})
        self.assertEqual((flood.reason, len(flood.stdout)), ("output_limit", 1 << 20))
        self.assert_gone()

    def test_a_fork_bomb_ends(self):
        started = time.monotonic()
        result = self.run_bash("b() { b | b & }; b; sleep 1; exit 1", limits={"processes": 40}, timeoutMs=4000)
        self.assertIn(result.reason, ("processes", "timeout"))
        self.assertLess(time.monotonic() - started, 8)
        self.assert_gone()

    def test_a_program_that_fails_for_want_of_processes_is_told_why(self):
        code = "import subprocess\nkeep = [subprocess.Popen(['sleep', '9']) for i in range(60)]"
        result = self.runner.run("python", code, limits={"processes": 20}, timeoutMs=9000)
        self.assertEqual(result.reason, "processes")

    def test_a_daemon_does_not_survive_nor_delay_the_end(self):
        code = "(setsid sh -c 'echo from the daemon; trap \"\" TERM HUP; sleep 60' &) ; sleep 0.2; echo done"
        started = time.monotonic()
        result = self.run_bash(code)
        self.assertEqual((result.reason, result.exit["exitCode"]), ("exited", 0))
        self.assertEqual(result.stdout, b"from the daemon\ndone\n")
        self.assertLess(time.monotonic() - started, 2)
        self.assert_gone()

    def test_output_still_in_the_pipe_at_the_end_arrives(self):
        for size in (1, 4096, 65536):
            result = self.runner.run("python", f"import os\nos.write(1, b'x' * {size}); os.kill(os.getpid(), 9)")
            self.assertEqual((len(result.stdout), result.exit["signal"]), (size, "SIGKILL"))

    def test_a_failing_compiler_says_so_on_stderr(self):
        result = self.runner.run("c", "int main(void) { return undeclared; }")
        self.assertEqual((result.reason, result.exit["exitCode"], result.exit["stage"]), ("exited", 1, "compile"))
        self.assertIn(b"undeclared", result.stderr)
        self.assertEqual(result.stdout, b"")

    def test_compile_and_run_share_the_clock(self):
        endless = "template<int n> struct A { static const int v = A<n + 1>::v; }; int main() { return A<0>::v; }"
        code = '#pragma GCC optimize("O0")\n' + endless
        result = self.runner.run("cpp", "#include <bits/stdc++.h>\n" + code, timeoutMs=150)
        self.assertEqual((result.reason, result.exit["stage"]), ("timeout", "compile"))
        self.assert_gone()

    def test_the_next_run_sees_nothing_of_the_last_but_the_home(self):
        self.run_bash("echo x > /tmp/a; echo x > /var/tmp/a; echo x > /dev/shm/a; echo x > mine; echo kept > ~/kept")
        result = self.run_bash("find /tmp /var/tmp /dev/shm -mindepth 1 | sort; cat ~/kept")
        self.assertEqual(result.stdout, b"/tmp/run\n/tmp/run/main.sh\nkept\n")


@unittest.skipUnless(client.own_cgroups(), "no control groups of version 1 here")
class GroupedFateTests(FateTests):
    """The same of a runner with control groups."""

    cgroup = client.own_cgroups()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        left = [root for root in cls.cgroup.values() for name in os.listdir(root) if name.startswith("run-")]
        for root in cls.cgroup.values():
            os.rmdir(root)
        assert not left, f"groups were left in {left}"

    def test_the_runner_uses_groups(self):
        confinement = self.runner.ask("ping")["confinement"]
        self.assertTrue(confinement["memoryGroup"] and confinement["pidsGroup"])

    def test_a_group_is_gone_after_the_run(self):
        root = self.cgroup["memory"]
        self.run_bash("sleep 60 & exit 0")
        wait_until(lambda: not any(name.startswith("run-") for name in os.listdir(root)), 2, "the group's removal")


class WarmFateTests(FateTests):
    """The same of runs that were made ahead."""

    warm = True

    def test_it_does(self):
        before = self.runner.ask("ping")["warm"]["plain"]["served"]
        self.run_bash("")
        self.assertGreater(self.runner.ask("ping")["warm"]["plain"]["served"], before)


class WarmGroupedFateTests(GroupedFateTests):
    """And of those with control groups. Each waits in one already."""

    warm = True

    def test_a_group_is_gone_after_the_run(self):
        root = self.cgroup["memory"]

        def groups():
            return [name for name in os.listdir(root) if name.startswith("run-")]

        self.run_bash("sleep 60 & exit 0")
        self.assert_gone()

        def one_for_each_that_waits():
            return len(groups()) == sum(kind["ready"] for kind in self.runner.ask("ping")["warm"].values())

        wait_until(one_for_each_that_waits, 5, "the group's removal")


@unittest.skipUnless(client.UnifiedGroup.mount(), "control groups of version 2 are not mounted here")
class UnifiedFateTests(FateTests):
    """The same of a runner with control groups of version 2, whichever controllers they have.

    Where version 1 has taken memory and processes the group counts processor time only: unified-test has them all."""

    @classmethod
    def setUpClass(cls):
        cls.group = client.UnifiedGroup()
        cls.addClassCleanup(cls.group.remove)
        cls.cgroup, cls.command = cls.group.roots, cls.group.command
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        assert not cls.group.runs(), f"{cls.group.runs()} were left"

    def groups_of(self, pid):
        with open(f"/proc/{pid}/cgroup") as lines:
            return [line.strip() for line in lines if line.startswith("0::")]

    def test_the_runner_moved_beside_the_runs(self):
        (group,) = self.groups_of(self.runner.process.pid)
        self.assertTrue(group.endswith(f"/{os.path.basename(self.group.path)}/runner"), group)

    def test_it_limits_what_can_be_limited(self):
        confinement = self.runner.ask("ping")["confinement"]
        self.assertEqual(confinement["memoryGroup"], "memory" in self.group.controllers)
        self.assertEqual(confinement["pidsGroup"], "pids" in self.group.controllers)

    def test_a_run_is_in_a_group_with_its_limits(self):
        connection = self.runner.open(
            language="bash", code="echo ready; read", limits={"memoryMb": 100, "processes": 33}, timeoutMs=20000
        )
        connection.receive_until(STDOUT)
        populated = [name for name in self.group.runs() if self.read(name, "cgroup.procs")]
        for controller, file, limit in (("memory", "memory.max", 100 << 20), ("memory", "memory.oom.group", 1),
                                        ("pids", "pids.max", 33)):
            if controller in self.group.controllers:
                self.assertIn(str(limit), [self.read(name, file) for name in populated], file)
        self.assertTrue(populated)
        connection.send(STDIN_END)
        self.assertEqual(self.runner.finish(connection).reason, "exited")

    def read(self, name, file):
        with open(f"{self.cgroup['unified']}/{name}/{file}") as text:
            return text.read().strip()

    def test_a_group_is_gone_after_the_run(self):
        self.run_bash("sleep 60 & exit 0")

        def one_for_each_that_waits():
            warm = self.runner.ask("ping")["warm"].values() if self.warm else []
            return len(self.group.runs()) == sum(kind["ready"] for kind in warm)

        wait_until(one_for_each_that_waits, 5, "the group's removal")


class WarmUnifiedFateTests(UnifiedFateTests):
    """And of those that wait in one already."""

    warm = True
