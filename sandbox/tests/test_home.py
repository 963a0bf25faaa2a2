"""The size of a home whose storage keeps none."""

import os
import signal
import subprocess
import unittest

from client import USER, Runner, wait_until

MEGABYTES = 64
SLACK = 64  # how far it goes before programs are killed


class HomeTests(unittest.TestCase):
    def setUp(self):
        # A user of its own: what is done to the processes of a full home is done to all of its user.
        self.runner = Runner(homeMb=MEGABYTES, user=USER + 1)
        self.addCleanup(self.runner.close)

    def python(self, code, **fields):
        return self.runner.run("python", "import os, mmap, time\nos.chdir(os.environ['HOME'])\n" + code, **fields)

    def used(self):
        names = [os.path.join(place, name) for place, _, names in os.walk(self.runner.home) for name in names]
        return sum(os.lstat(name).st_blocks * 512 for name in names) >> 20

    def fill(self):
        return self.python(
            "for i in range(40):\n try: open(f'f{i}', 'wb').write(bytes(8 << 20))\n"
            " except OSError as error: print(error); break\n time.sleep(0.3)"
        )

    def said(self, what):
        wait_until(lambda: any(what in line for line in self.runner.log), 5, f"'{what}': {self.runner.log}")

    def test_no_file_is_larger_than_the_home(self):
        result = self.python(
            "try: open('one', 'wb', buffering=0).truncate(1 << 40)\nexcept OSError as error: print(error)"
        )
        self.assertIn(b"File too large", result.stdout)
        self.assertEqual(self.runner.run("bash", "head -c 200M /dev/zero > ~/one").exit["exitCode"], 128 + signal.SIGXFSZ)
        self.assertLessEqual(self.used(), MEGABYTES)

    def test_a_full_home_takes_no_more_until_there_is_room(self):
        self.assertIn(b"File too large", self.fill().stdout)
        self.said("the home is full")
        self.assertLess(self.used(), MEGABYTES + SLACK)
        # Programs run on, and may delete.
        self.assertEqual(self.python("print(len(os.listdir('.')) > 4)").stdout, b"True\n")
        self.assertIn(b"File too large", self.python("time.sleep(0.3); open('x', 'wb', buffering=0).write(b'x')").stderr)
        self.runner.run("bash", "rm ~/f*")
        self.said("not full any more")
        self.assertEqual(self.python("print(open('x', 'wb', buffering=0).write(b'x'))").stdout, b"1\n")

    def test_one_that_was_running_when_there_is_room_again_writes_on(self):
        waiting = self.runner.open(
            language="bash",
            code="trap '' XFSZ; cd; until head -c 9M /dev/zero > mine; [ -e full ]; do sleep 0.05; done; rm -f f*; "
            "until echo on > after; do sleep 0.1; done; cat after",
            timeoutMs=20000,
        )
        self.fill()
        self.said("the home is full")
        os.close(os.open(os.path.join(self.runner.home, "full"), os.O_CREAT))
        result = self.runner.finish(waiting)
        self.assertEqual((result.stdout, result.reason), (b"on\n", "exited"))

    def test_what_grows_without_a_write_is_ended(self):
        code = """if True:
            for i in range(60):
                file = os.open(f'sparse{i}', os.O_CREAT | os.O_RDWR)
                os.truncate(file, 16 << 20)
                memory = mmap.mmap(file, 16 << 20)
                for at in range(0, 16 << 20, 4096):
                    memory[at] = 1
                time.sleep(0.1)"""
        result = self.python(code, timeoutMs=30000)
        self.assertNotEqual(result.exit["exitCode"], 0)
        self.assertLess(self.used(), 3 * (MEGABYTES + SLACK))
        self.assertEqual(self.runner.run("bash", "rm ~/sparse*; echo ok").stdout, b"ok\n")

    def test_names_are_counted_too(self):
        most = (MEGABYTES << 20) // 16384
        result = self.python("for i in range(10**6): os.mknod(f'n{i}')", timeoutMs=30000)
        self.assertEqual(result.reason, "signaled", result)
        self.said("grows although it is full: programs are ended")
        self.assertGreater(len(os.listdir(self.runner.home)), most)
        self.assertEqual(self.runner.run("bash", "cd; ls | xargs rm; ls | wc -l").stdout, b"0\n")

    def test_who_comes_after_is_not_ended_for_it(self):
        runner = Runner(homeMb=MEGABYTES, user=USER + 2, disk="1G")
        self.addCleanup(runner.close)
        grow = "import os, sys\nfor i in range(20000): os.mknod(os.path.expanduser(f'~/{sys.argv[1]}-{i}'))"
        for turn in range(3):  # each ends by itself, or as one that grows
            runner.run("python", grow, args=[str(turn)], timeoutMs=30000)
            result = runner.run("bash", "sleep 1.5; echo on")
            self.assertEqual((result.stdout, result.reason), (b"on\n", "exited"), runner.log)

    def test_the_next_run_is_not_ended_with_one_that_grows(self):
        runner = Runner(homeMb=MEGABYTES, user=USER + 2, disk="1G", warm=True)
        self.addCleanup(runner.close)
        runner.warm_up("python")
        grow = "import os, sys\nfor i in range(10**6): os.mknod(os.path.expanduser(f'~/{sys.argv[1]}-{i}'))"
        for turn in range(8):
            self.assertEqual(runner.run("python", grow, args=[str(turn)], timeoutMs=30000).reason, "signaled")
            result = runner.run("python", "print('on')")
            self.assertEqual((result.stdout, result.reason), (b"on\n", "exited"), (turn, runner.log))
            result = runner.run("bash", "cd && find . -mindepth 1 -delete && ls | wc -l")
            self.assertEqual(result.stdout, b"0\n", (result, runner.log))
            wait_until(lambda: sum("not full any more" in line for line in runner.log) > turn, 10, f"room: {runner.log}")

    def test_a_file_without_a_name_is_found(self):
        code = """if True:
            files = []
            try:
                for i in range(30):
                    files.append(os.open('.', os.O_TMPFILE | os.O_WRONLY))
                    os.write(files[-1], bytes(8 << 20))
                    time.sleep(0.1)
            except OSError as error:
                print(error)"""
        self.assertIn(b"File too large", self.python(code, timeoutMs=20000).stdout)
        self.said("not full any more")

    def test_it_is_measured_however_deep_it_is(self):
        code = """if True:
            for i in range(3000):
                os.mkdir('d')
                os.chdir('d')
            for i in range(20):
                open(f'deep{i}', 'wb').write(bytes(8 << 20))
                time.sleep(0.1)"""
        self.assertIn(b"File too large", self.python(code, timeoutMs=20000).stderr)
        subprocess.run(["rm", "-rf", os.path.join(self.runner.home, "d")], check=True)
        self.said("not full any more")
