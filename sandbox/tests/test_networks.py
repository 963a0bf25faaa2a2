"""Networks of runs that sent nothing serve the next; those of all others end with their run (networks.c)."""

import unittest

from client import Runner, wait_until

# Says which network it is in, by what no other ever has (SO_NETNS_COOKIE), and then does something there.
WHICH = "import os, socket\nwith socket.socket() as any: print(any.getsockopt(socket.SOL_SOCKET, 71, 8).hex())\n"
# In a network as it was made, all that may differ between machines left out.
LOOK = """if True:
    for name in ('dev', 'snmp', 'snmp6', 'netstat', 'tcp', 'tcp6', 'udp', 'udp6', 'ip6_flowlabel', 'route', 'igmp'):
        print(name, open('/proc/net/' + name).read())
    print([line.split()[:3] for line in open('/proc/net/sockstat')][1:])"""
DEEDS = {
    "loopback, TCP": "l = socket.create_server(('127.0.0.1', 4000)); socket.create_connection(('127.0.0.1', 4000))",
    "loopback, IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'1', ('::1', 9))",
    "a refused connection": "socket.socket().connect_ex(('127.0.0.1', 1))",
    "no way": "socket.socket().connect_ex(('203.0.113.1', 80))",
    "no way, IPv6": "socket.socket(socket.AF_INET6).connect_ex(('2001:db8::1', 80))",
    "a label": (
        "import struct; s = socket.socket(socket.AF_INET6)\n"
        "s.setsockopt(41, 32, struct.pack('16sIBBHHHI', bytes(15) + b'\\1', socket.htonl(7), 0, 255, 1, 60, 60, 0))"
    ),
    "a socket that lives on": (
        "s = socket.socket(socket.AF_UNIX); s.connect(os.path.expanduser('~/keeper')); left = socket.socket()\n"
        "socket.send_fds(s, [b'1'], [left.fileno()]); s.recv(1)"
    ),
}
HOLD = """if True:
    import os, socket, sys
    l = socket.socket(socket.AF_UNIX); l.bind(os.path.expanduser('~/keeper')); l.listen()
    print('listens', flush=True)
    held = []
    while True:
        one, _ = l.accept(); held.append((one, socket.recv_fds(one, 9, 9))); one.send(b'1')"""


class NetworkTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.runner = Runner(warm=True, compiled=False)
        cls.addClassCleanup(cls.runner.close)

    def run_whole(self, code, **fields):
        """Until nothing is left of the run but what is kept of it."""
        runs = self.runner.ask("ping")["runs"]
        result = self.runner.run("python", code, **fields)
        self.assertEqual(result.exit and result.exit["exitCode"], 0, result)
        wait_until(lambda: self.runner.ask("ping")["runs"] <= runs, 10, "the end of the run")
        return result.stdout

    def run_in(self, deed=""):
        return self.run_whole(WHICH + deed)

    def used_after(self, rounds=24):
        """The networks of so many further runs, each with the networks of those before it to choose from."""
        return {self.run_in() for _ in range(rounds)}

    def test_who_sends_nothing_leaves_a_network_for_the_next(self):
        self.assertLess(len(self.used_after()), 12)

    def test_who_does_anything_leaves_none(self):
        holder = self.runner.open(language="python", code=HOLD)
        self.addCleanup(holder.close)
        holder.receive_until(17)
        for name, deed in DEEDS.items():
            with self.subTest(name):
                self.assertNotIn(self.run_in(deed), self.used_after())

    def test_what_is_found_in_one_is_what_a_new_one_has(self):
        self.used_after()
        fresh = Runner(warm=False)
        self.addCleanup(fresh.close)
        new = fresh.run("python", LOOK).stdout
        self.assertIn(b"ip6_flowlabel", new)
        for _ in range(8):
            self.assertEqual(self.run_whole(LOOK), new)

    def test_plain_kits_and_warm_ones_share_them(self):
        found = self.used_after()
        cold = {"LANG": "C"}
        self.assertTrue(found & {self.run_whole(WHICH, env=cold) for _ in range(24)})
