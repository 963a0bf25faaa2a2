"""What compilers made is kept, and only what is the same is found."""

import hashlib
import os
import time
import unittest

import client
from client import USER, Runner

HELLO = '#include <iostream>\nint main() { std::cout << "%s\\n"; }'


class CompiledTests(unittest.TestCase):
    def setUp(self):
        self.place = f"/run/martlet-test-{os.getpid()}-{time.monotonic_ns()}/compiled"
        self.runner = Runner(compiled=self.place)
        self.addCleanup(lambda: __import__("shutil").rmtree(os.path.dirname(self.place)))
        self.addCleanup(self.runner.close)

    def found(self):
        return self.runner.ask("ping")["compiled"]["found"]

    def run_cpp(self, code, language="cpp", **fields):
        """The result, and whether its program was there already."""
        before = self.found()
        result = self.runner.run(language, code, **fields)
        return result, self.found() > before

    def test_the_same_is_compiled_once(self):
        first, was_there = self.run_cpp(HELLO % 1)
        self.assertEqual((first.stdout, was_there), (b"1\n", False))
        again, was_there = self.run_cpp(HELLO % 1)
        self.assertEqual((again.stdout, again.stderr, again.exit["stage"], was_there), (b"1\n", b"", "run", True))
        self.assertEqual(len(os.listdir(self.place)), 1)

    def test_whatever_differs_is_compiled_anew(self):
        code = '#include <cstdio>\n#include "part.h"\nint main(int c, char **v) { std::puts(PART); }'
        files = [{"path": "part.h", "content": '#define PART "one"\n'}]
        others = [{"path": "part.h", "content": '#define PART "two"\n'}]
        self.assertEqual(self.run_cpp(code, files=files)[0].stdout, b"one\n")
        self.assertTrue(self.run_cpp(code, files=files, args=["x"], id="another", timeoutMs=9000)[1])
        two, was_there = self.run_cpp(code, files=others)
        self.assertEqual((two.stdout, was_there), (b"two\n", False))
        self.assertFalse(self.run_cpp(code, files=files, env={"CPATH": "/nowhere"})[1])
        self.assertFalse(self.run_cpp(code + "\n", files=files)[1])
        self.assertFalse(self.run_cpp("int main(void) { return 0; }", language="c")[1])
        self.assertFalse(self.run_cpp("int main(void) { return 0; }")[1])

    def test_a_failure_and_a_warning_are_said_each_time(self):
        for code, status in (("int main() { return x; }", 1), ("int main() { int unused; }", 0)):
            results = [self.run_cpp(code) for i in range(2)]
            self.assertEqual([was_there for _, was_there in results], [False, False])
            self.assertEqual([result.exit["exitCode"] for result, _ in results], [status] * 2)
            self.assertEqual(results[0][0].stderr, results[1][0].stderr)
            self.assertTrue(results[0][0].stderr)

    def test_what_depends_on_time_or_home_is_not_kept(self):
        with open(os.path.join(self.runner.home, "mine.h"), "w") as file:
            file.write("#define MINE 1\n")
        home = self.runner.home
        for code in (
            "int main() { return sizeof __TIME__ > 99; }",
            f'#include "{home}/mine.h"\nint main() {{ return MINE - 1; }}',
            f'#include "../..{home}/mine.h"\nint main() {{ return MINE - 1; }}',
        ):
            self.assertEqual([self.run_cpp(code)[1] for i in range(2)], [False, False], code)
        code = '#include "mine.h"\nint main() { return MINE - 1; }'
        self.assertEqual([self.run_cpp(code, env={"CPATH": home})[1] for i in range(2)], [False, False])

    def test_a_run_cannot_reach_what_is_kept(self):
        self.run_cpp(HELLO % 1)
        name = os.listdir(self.place)[0]
        attack = f"ls {self.place}; cat {self.place}/{name}; echo x > {self.place}/{name}; rm -rf {self.place}; "
        result = self.runner.run("bash", attack + "mv $(dirname {0}) /run/other".format(self.place))
        self.assertEqual(result.stdout, b"")
        digest = hashlib.sha256(open(f"{self.place}/{name}", "rb").read()).digest()
        spoil = (
            "#include <fstream>\n#include <iostream>\n#include <unistd.h>\nint main() { unlink(\"program\");"
            'std::ofstream("program") << "#!/bin/sh\\necho spoiled\\n"; std::cout << "as written\\n"; }'
        )
        for i in range(3):
            self.assertEqual(self.run_cpp(spoil)[0].stdout, b"as written\n")
        self.assertEqual(hashlib.sha256(open(f"{self.place}/{name}", "rb").read()).digest(), digest)
        owner = os.stat(self.place)
        self.assertEqual((owner.st_uid, owner.st_mode & 0o777), (0, 0o700))
        self.assertTrue(all(os.stat(f"{self.place}/{one}").st_uid == 0 for one in os.listdir(self.place)))

    def test_a_directory_that_is_not_the_runners_is_not_used(self):
        os.makedirs(planted := self.place + "-planted")
        os.chown(planted, USER, USER)
        runner = Runner(compiled=planted)
        self.addCleanup(runner.close)
        self.assertEqual(runner.run("c", "int main(void) { return 3; }").exit["exitCode"], 3)
        self.assertEqual(os.listdir(planted), [])

    def test_it_is_bounded_and_the_longest_unused_goes_first(self):
        runner = Runner(compiled=self.place + "-small", limits={"memoryMb": 128})  # 4 MiB for what is kept
        self.addCleanup(runner.close)
        code = "char bulk[900000] = {%d}; int main(void) { return bulk[0]; }"
        for i in range(1, 8):
            self.assertEqual(runner.run("c", code % i).exit["exitCode"], i)
            self.assertEqual(runner.run("c", code % 1).exit["exitCode"], 1)  # stays in use
        sizes = [os.stat(f"{self.place}-small/{name}").st_size for name in os.listdir(self.place + "-small")]
        self.assertLessEqual(sum(sizes), 4 << 20)
        self.assertGreater(len(sizes), 2)
        found = runner.ask("ping")["compiled"]["found"]
        self.assertEqual(found, 7)
        self.assertEqual(runner.run("c", code % 2).exit["exitCode"], 2)
        self.assertEqual(runner.ask("ping")["compiled"]["found"], found)

    def test_many_at_once(self):
        code = "#include <stdio.h>\nint main(void) { puts(\"%d\"); }"
        connections = [(i % 3, self.runner.open(language="c", code=code % (i % 3))) for i in range(12)]
        for i, connection in connections:
            self.assertEqual(self.runner.finish(connection).stdout, b"%d\n" % i)
        self.assertEqual(len(os.listdir(self.place)), 3)
