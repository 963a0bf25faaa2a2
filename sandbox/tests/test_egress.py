"""Who reaches what: runs with a way out and without, in a world of namespaces (world.py)."""

import contextlib
import json
import os
import subprocess
import time
import unittest

import client
from client import Runner, wait_until
from world import FORBIDDEN, NEAR, OWN, OWN_PORTS, PUBLIC, World

EGRESS = os.path.join(os.path.dirname(client.RUNNER), "martlet-egress")
USER = 4699  # of the stacks

# Says for each address and port what came of it.
TRY = """if True:
    import json, socket, sys
    def attempt(address, port):
        try:
            with socket.create_connection((address, port), 5) as one:
                one.settimeout(5)
                return one.recv(99).decode().strip()
        except OSError as error:
            return 'no: ' + str(error)
    print(json.dumps([attempt(address, port) for address, port in json.loads(sys.argv[1])]))
"""


@unittest.skipUnless(os.path.exists(EGRESS), f"{EGRESS} is not built: it wants libslirp-dev")
class EgressTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.close)
        outside = cls.world.resolver("outside", "203.0.113.10")
        inside = cls.world.resolver("inside", "10.0.2.3")
        vm = f'mount --bind {inside} /etc/resolv.conf; exec "$@"'
        start = [EGRESS, "--descriptor", "4", "--user", str(USER), *("--deny", "203.0.113.77"), *("--deny", "2001:db8:77::/48"), "--"]
        machine = f'mount --bind {outside} /etc/resolv.conf; exec "$@"'
        cls.command = [
            *("unshare", "--mount", "sh", "-ec", machine, "machine", *start),
            *("unshare", "--mount", "sh", "-ec", vm, "vm"),
        ]
        with cls.world.here():
            cls.runner = Runner(command=cls.command, arguments=["--egress-fd", "4"], warm=True)
        cls.addClassCleanup(cls.runner.close)

    def run_here(self, *arguments, **fields):
        with self.world.here():
            return self.runner.run(*arguments, **fields)

    def attempts(self, places, **fields):
        result = self.run_here("python", TRY, args=[json.dumps(places)], **fields)
        self.assertEqual(result.exit and result.exit["exitCode"], 0, result)
        return dict(zip(places, json.loads(result.stdout)))

    def stacks(self):
        return [pid for pid, (owner, _) in client.processes().items() if owner == USER]

    def test_the_stand_ins_are_there_for_the_machine_itself(self):
        places = [(one, 80) for one in PUBLIC + NEAR + FORBIDDEN] + [(one, port) for one in OWN for port in OWN_PORTS]
        with self.world.here():
            said = subprocess.run(
                ["python3", "-c", TRY, json.dumps(places)], check=True, capture_output=True, text=True
            ).stdout
        self.assertEqual(json.loads(said), [f"at {address}" for address, _ in places])

    def test_a_run_with_a_way_out_reaches_the_world(self):
        for language in ("python", "bash"):  # warm and plain kits alike
            self.run_here(language, "")
        said = self.attempts([(one, 80) for one in PUBLIC] + [("a.name.example", 80)], network="egress")
        self.assertEqual(list(said.values()), ["at 203.0.113.10", "at 2001:db8::10", "at 203.0.113.10"])
        code = """if True:
            import socket
            for family, address in ((socket.AF_INET, '203.0.113.10'), (socket.AF_INET6, '2001:db8::10')):
                for size in (1, 1400, 30000):
                    one = socket.socket(family, socket.SOCK_DGRAM)
                    one.settimeout(5)
                    one.sendto(bytes(size), (address, 7))
                    print(len(one.recv(65536)))"""
        result = self.run_here("python", code, network="egress")
        self.assertEqual(result.stdout.split(), [b"1", b"1400", b"30000"] * 2, result)
        self.assertEqual(result.started["network"], "egress")

    def test_a_run_without_reaches_nothing(self):
        places = [(one, 80) for one in PUBLIC + NEAR + ["a.name.example"]]
        places += [(one, port) for one in OWN for port in OWN_PORTS]
        for fields in ({}, {"network": "none"}):
            for place, said in self.attempts(places, **fields).items():
                self.assertTrue(said.startswith("no: "), (place, said))
        self.assertEqual(self.run_here("bash", "", network="none").started["network"], "none")

    def test_nothing_near_is_reached(self):
        places = [(one, 80) for one in NEAR] + [("::ffff:10.1.2.3", 80), ("::ffff:169.254.169.254", 80)]
        places += [(one, port) for one in OWN for port in OWN_PORTS] + [(one, 80) for one in FORBIDDEN]
        places += [(one, port) for one in ("10.0.2.2", "10.0.2.3", "fec0::2", "fec0::3") for port in OWN_PORTS + [80]]
        places += [("127.0.0.1", self.runner.port), ("10.0.2.2", self.runner.port), ("203.0.113.1", self.runner.port)]
        for place, said in self.attempts(places, network="egress").items():
            self.assertTrue(said.startswith("no: ") and "timed out" not in said, (place, said))

    def sleeper(self):
        """A run that stays, with its pid on this machine."""
        with self.world.here():
            connection = self.runner.open(language="bash", code="sleep 60", network="egress")
            self.addCleanup(connection.close)
            started = json.loads(connection.receive_until(client.STARTED))
        return connection, started["pid"]

    def test_the_filter_holds_where_the_routes_are_gone(self):
        connection, pid = self.sleeper()
        routes = [one for one in NEAR if ":" not in one] + ["10.9.9.9"]
        inside = "\n".join(
            f"ip route replace {one}/32 via 10.0.2.2 dev eth0 onlink" for one in routes + ["127.0.0.1"]
        ) + "\nip -6 route replace default via fec0::2 dev eth0\nip -6 route flush type unreachable\n"
        self.world.on(pid, inside, "ip route del local 127.0.0.1 table local; ip route del local 127.0.0.0/8 table local")
        places = [(one, 80) for one in NEAR] + [(one, 22) for one in ("10.9.9.9", "127.0.0.1", "203.0.113.1")]
        said = subprocess.run(
            ["nsenter", "-t", str(pid), "-n", "python3", "-c", TRY, json.dumps(places + [("203.0.113.10", 80)])],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        *near, far = json.loads(said)
        for place, one in zip(places, near):
            self.assertTrue(one.startswith("no: "), (place, one))
        self.assertEqual(far, "at 203.0.113.10")

    def test_an_address_that_the_machine_gets_later_is_its_own_too(self):
        connection, pid = self.sleeper()
        self.world.on(self.world.machine, "ip addr add 198.51.100.9/32 dev m0")
        self.addCleanup(self.world.on, self.world.machine, "ip addr del 198.51.100.9/32 dev m0")
        said = subprocess.run(
            ["nsenter", "-t", str(pid), "-n", "python3", "-c", TRY, json.dumps([("198.51.100.9", 22)])],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        self.assertIn("no: ", said)

    def test_runs_do_not_meet(self):
        with self.world.here():
            first = self.runner.open(
                language="python",
                code="import socket, time; s = socket.create_server(('', 8000)); print('up', flush=True); time.sleep(60)",
                network="egress",
            )
            self.addCleanup(first.close)
            first.receive_until(client.STDOUT)
        said = self.attempts([("10.0.2.15", 8000), ("127.0.0.1", 8000)], network="egress")
        self.assertTrue(all("refused" in one for one in said.values()), said)

    def test_connections_are_bounded(self):
        code = """if True:
            import socket
            kept = []
            try:
                while len(kept) < 1000:
                    kept.append(socket.create_connection(('203.0.113.10', 80), 30))
            except OSError as error:
                print(error.errno)
            print(400 < len(kept) < 530)
            while kept:
                kept.pop().close()
            for patience in range(500):
                try:
                    print(socket.create_connection(('203.0.113.10', 80), 30).recv(99)); break
                except OSError:
                    pass"""
        result = self.run_here("python", code, network="egress", timeoutMs=120000)
        self.assertEqual(result.stdout.decode(), "101\nTrue\nb'at 203.0.113.10\\n'\n", result)

    def test_much_comes_through_whole(self):
        code = """if True:
            import hashlib, os, socket, threading
            data = os.urandom(1 << 16) * 64
            one, total = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0
            one.settimeout(5)
            for i in range(200):
                one.sendto(data[i:i + 20000], ('203.0.113.10', 7))
                total += one.recv(65536) == data[i:i + 20000]
            print(total)"""
        self.assertEqual(self.run_here("python", code, network="egress").stdout, b"200\n")

    def test_a_stack_can_do_nothing_else_and_ends_with_its_run(self):
        before = set(self.stacks())
        with self.world.here():
            code = "exec 3<>/dev/tcp/203.0.113.10/80; read line <&3; echo $line; sleep 60"
            connection = self.runner.open(language="bash", code=code, network="egress")
            self.addCleanup(connection.close)
            self.assertEqual(connection.receive_until(client.STDOUT), b"at 203.0.113.10\n")
        (stack,) = set(self.stacks()) - before
        status = open(f"/proc/{stack}/status").read()
        for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
            self.assertIn(line, status)
        self.assertEqual(sorted(os.listdir(f"/proc/{stack}/root")), ["dev", "etc", "run"])
        kinds = sorted(os.readlink(f"/proc/{stack}/fd/{one}").split(":")[0] for one in os.listdir(f"/proc/{stack}/fd"))
        own = ["/dev/net/tun", "socket", "socket", "socket"]  # its tap, its run, routes, one connection
        self.assertEqual([kind for kind in kinds if kind not in ("/null", "/dev/null", "pipe")], own)
        there = set(self.stacks())
        connection.close()
        wait_until(lambda: there - set(self.stacks()), 5, "the end of the stack")

    def waiting(self):
        """Kits, and networks for more of them."""
        with self.world.here():
            told = self.runner.ask("ping")
            return sum(pool["ready"] for pool in told["warm"].values()) + told["networks"]

    def taps(self):
        """What guardians hold for runs, made ahead or not, that have sent nothing yet."""
        held = 0
        for pid, (owner, _) in client.processes().items():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as name:
                if owner == 0 and name.read() == "martlet-egress\n":
                    held += sum("net/tun" in os.readlink(f"/proc/{pid}/fd/{one}") for one in os.listdir(f"/proc/{pid}/fd"))
        return held

    def test_who_sends_nothing_has_no_stack_and_nothing_is_left_behind(self):
        for language in ("bash", "c") * 3:
            code = "true" if language == "bash" else "int main(void) { return 0; }"
            self.assertEqual(self.run_here(language, code, network="any").started["network"], "egress")
        wait_until(lambda: 0 < self.taps() <= self.waiting(), 10, "taps for waiting kits only")
        time.sleep(2)  # IPv6 tells of itself within a second or two
        self.assertEqual(self.stacks(), [])
        for language in ("bash", "python", "c", "lua") * 4:
            code = "" if language != "c" else "int main(void) { return 0; }"
            self.assertEqual(self.run_here(language, code).started["network"], "none")
        # those of other languages keep theirs
        kinds = self.waiting()
        wait_until(lambda: self.taps() <= kinds, 10, "the end of taps that nobody wants")

    def test_a_run_that_is_to_have_none_gets_no_kit_with_a_way_out(self):
        for language in ("python", "bash"):
            code = "import socket\nprint(socket.if_nameindex())" if language == "python" else "cat /proc/net/dev"
            for network in ("egress", "none") * 8:
                result = self.run_here(language, code, network=network)
                self.assertEqual(result.started["network"], network)
                self.assertEqual(b"eth0" in result.stdout, network == "egress", result.stdout)

    def test_what_is_no_network_is_refused(self):
        self.assertEqual(self.run_here("bash", "", network="all").code, "bad_request")
        self.assertEqual(self.run_here("bash", "", network=1).code, "bad_request")

    def test_without_its_program_nobody_is_told_that_there_is_one(self):
        runner = Runner()
        self.addCleanup(runner.close)
        self.assertEqual(runner.run("bash", "", network="egress").code, "no_network")
        self.assertEqual(runner.run("bash", "", network="any").started["network"], "none")
        self.assertFalse(runner.ask("ping")["confinement"]["egress"])

    def test_when_its_program_dies_so_does_the_way_out_and_no_more(self):
        with self.world.here():
            runner, guardian = self.runner_and_guardian()
            self.addCleanup(runner.close)
            self.assertTrue(runner.ask("ping")["confinement"]["egress"])
            os.kill(guardian, 9)
            wait_until(lambda: guardian not in client.processes(), 5, "its end")
            self.assertEqual(runner.run("bash", "echo on").stdout, b"on\n")
            self.assertEqual(runner.run("bash", "", network="egress").code, "no_network")
            self.assertEqual(runner.run("bash", "", network="any").started["network"], "none")

    def test_where_it_cannot_work_the_vm_starts_all_the_same(self):
        start = [EGRESS, "--descriptor", "4", "--user", str(USER), "--"]
        hidden = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs none /dev/net; exec "$@"', "sh"]
        runner = Runner(command=[*hidden, *start], arguments=["--egress-fd", "4"])
        self.addCleanup(runner.close)
        self.assertEqual(runner.run("bash", "echo on", network="any").stdout, b"on\n")
        self.assertEqual(runner.run("bash", "", network="egress").code, "no_network")

    def test_it_ends_with_the_vm(self):
        with self.world.here():
            runner, guardian = self.runner_and_guardian()
            runner.close()
        wait_until(lambda: guardian not in client.processes(), 5, "the guardian's end")

    def runner_and_guardian(self):
        def guardians():
            found = set()
            for pid, (owner, _) in client.processes().items():
                with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as name:
                    if owner == 0 and name.read() == "martlet-egress\n":
                        found.add(pid)
            return found

        before = guardians()
        runner = Runner(command=self.command, arguments=["--egress-fd", "4"])
        (guardian,) = guardians() - before
        return runner, guardian


class FilterTests(unittest.TestCase):
    def test_frames_are_judged(self):
        from run_tests import c_program

        parts = ("filter", "ranges")
        subprocess.run([c_program("filter_test", [f"../egress/{one}" for one in parts])], check=True)
