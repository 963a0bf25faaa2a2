"""Every language here that is installed says hello, live."""

import json
import os
import time
import unittest

import client
from client import Runner


class RuntimeTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.runner = Runner()
        cls.listed = {one["name"]: one for one in cls.runner.ask("runtimes")["runtimes"]}

    @classmethod
    def tearDownClass(cls):
        cls.runner.close()

    def available(self):
        for name in sorted(os.listdir(client.RUNTIMES)):
            path = os.path.join(client.RUNTIMES, name, "runtime.json")
            if os.path.exists(path):
                with self.subTest(name):
                    if self.listed[name]["available"]:
                        yield name, json.load(open(path))
                    else:
                        self.skipTest(f"needs {self.listed[name]['missing']}")

    def test_every_runtime_says_hello(self):
        for name, spec in self.available():
            result = self.runner.run(name, spec["hello"]["code"], timeoutMs=60000)
            self.assertEqual((result.stdout.decode(), result.stderr), (spec["hello"]["stdout"], b""), name)
            self.assertEqual(result.exit["exitCode"], 0)

    def test_every_available_runtime_has_a_version(self):
        for name, _ in self.available():
            self.assertRegex(self.listed[name]["version"], r"^\d+(\.\d+)+$", name)

    def test_names_aliases_and_extensions_are_unambiguous(self):
        names = [word for one in self.listed.values() for word in [one["name"], *one["aliases"]]]
        self.assertEqual(sorted(set(names)), sorted(names))
        extensions = [word for one in self.listed.values() for word in one["extensions"]]
        self.assertEqual(sorted(set(extensions)), sorted(extensions))

    def test_arguments_reach_the_program_in_every_kind_of_runtime(self):
        for language, code in {
            "python": "import sys; print(sys.argv[1:])",
            "perl": 'print "@ARGV\\n"',
            "lua": "print(arg[1], arg[2])",
            "ruby": "p ARGV",
            "javascript": "console.log(process.argv.slice(2))",
            "php": "<?php echo $argv[1], $argv[2];",
            "c": '#include <stdio.h>\nint main(int c, char **v) { printf("%s %s\\n", v[1], v[2]); }',
        }.items():
            if self.listed[language]["available"]:
                stdout = self.runner.run(language, code, args=["--one", "two words"]).stdout
                self.assertIn(b"--one", stdout, language)
                self.assertIn(b"two words", stdout, language)

    def test_output_appears_when_it_is_printed(self):
        for language, code in {
            "python": "import time\nprint('now')\ntime.sleep(1)",
            "perl": "print 'now'; sleep 1;",
            "ruby": "print 'now'; sleep 1",
            "lua": "print('now') os.execute('sleep 1')",
            "php": "<?php echo 'now'; sleep(1);",
            "javascript": "console.log('now'); setTimeout(() => {}, 1000)",
            "c": '#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts("now"); sleep(1); }',
            "cpp": '#include <iostream>\n#include <unistd.h>\nint main() { std::cout << "now\\n"; sleep(1); }',
        }.items():
            if not self.listed[language]["available"]:
                continue
            connection = self.runner.open(language=language, code=code)
            self.assertTrue(connection.receive_until(client.STDOUT).startswith(b"now"), language)
            printed = time.monotonic()
            self.runner.finish(connection)
            self.assertGreater(time.monotonic() - printed, 0.8, language)

    def test_what_go_compiled_is_kept_in_the_home(self):
        if not self.listed["go"]["available"]:
            self.skipTest("needs golang-go")
        code = "package main\nfunc main() { println(4611) }"
        self.assertEqual(self.runner.run("go", code, timeoutMs=60000).stderr, b"4611\n")
        self.assertTrue(os.listdir(os.path.join(self.runner.home, ".cache", "go-build")))

    def test_a_compile_error_in_any_language_is_the_programs_own(self):
        for language, code in {
            "rust": "fn main() { x }",
            "go": "package main\nfunc main() { x }",
            "java": "class A { x }",
        }.items():
            if self.listed[language]["available"]:
                result = self.runner.run(language, code, timeoutMs=60000)
                self.assertEqual(result.reason, "exited", language)
                self.assertNotEqual(result.exit["exitCode"], 0)
                self.assertTrue(result.stderr)
