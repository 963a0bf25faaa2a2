"""Every language: four programs each, and what they must do. runtimes/README.md says what the programs are."""

import concurrent.futures
import glob
import json
import os
import unittest

import client
from client import Runner

ARGUMENTS = ["--one", "zwei drei", "größe 😀"]
GREETING = "Grüße, 世界! 😀\n"
INPUT = "eins\nζωή 😀\n"
TIMEOUT_MS = 120_000  # of one run: many times what it takes, for a machine that is busy with other things


def specifications():
    for path in sorted(glob.glob(os.path.join(client.RUNTIMES, "*", "runtime.json"))):
        with open(path) as file:
            yield json.load(file)


def program(language, which):
    """The text of runtimes/NAME/checks/echo.*, fail.* or broken.*."""
    (path,) = glob.glob(os.path.join(client.RUNTIMES, language, "checks", which + ".*"))
    with open(path, encoding="utf-8") as file:
        return file.read()


class LanguageTests(unittest.TestCase):
    """One test a language, made below; its four programs run two at a time. Debian has no Swift."""

    @classmethod
    def setUpClass(cls):
        cls.runner = Runner(elsewhere=["swift"])
        cls.listed = {one["name"]: one for one in cls.runner.ask("runtimes")["runtimes"]}

    @classmethod
    def tearDownClass(cls):
        cls.runner.close()

    def check_language(self, spec):
        listed = self.listed[spec["name"]]
        if not listed["available"]:
            self.refuse_to_skip(listed)
        self.assertRegex(listed["version"] or "none", r"^\d+(\.\d+)+$", "the version")
        checks = (self.says_hello, self.echoes, self.fails_as_it_should, self.is_not_a_program)
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for check, running in [(one, pool.submit(one, spec)) for one in checks]:
                with self.subTest(check.__name__):
                    running.result()

    def refuse_to_skip(self, listed):
        """Continuous integration has every language that Debian has."""
        message = f"needs {' '.join(listed['missing']) or 'a compiler that Debian does not have, in PATH'}"
        if os.environ.get("CI") and listed["missing"]:
            self.fail(message)
        self.skipTest(message)

    def says_hello(self, spec):
        result = self.runner.run(spec["name"], spec["hello"]["code"], timeoutMs=TIMEOUT_MS)
        self.assert_ended(result, spec["hello"]["stdout"], 0, "run")
        self.assertEqual(result.stderr, b"")

    def echoes(self, spec):
        """Arguments and input arrive, output leaves when it is printed, all of it in UTF-8, and so does the exit code."""
        expected = {"args": True, "live": True, "exitCode": 7, **spec["checks"].get("echo", {})}
        arguments = ARGUMENTS if expected["args"] else []
        first = GREETING + "".join(one + "\n" for one in arguments)
        connection = self.runner.open(
            language=spec["name"], code=program(spec["name"], "echo"), args=arguments, timeoutMs=TIMEOUT_MS
        )
        early = []
        try:
            while expected["live"] and sum(map(len, early)) < len(first.encode()):
                early.append(connection.receive_until(client.STDOUT))
        except TimeoutError:
            self.fail(f"only {early} was printed before input was there")
        connection.send(client.STDIN, INPUT.encode())
        connection.send(client.STDIN_END)
        result = self.runner.finish(connection)
        result.stdout = b"".join(early) + result.stdout
        lines = "".join(f"> {line}\n" for line in INPUT.splitlines())
        self.assert_ended(result, first + lines, expected["exitCode"], "run")
        self.assertEqual(result.stderr, b"")

    def fails_as_it_should(self, spec):
        """A run-time error: what was printed before is not lost, and the program is told from its compiler."""
        expected = spec["checks"]["fail"]
        result = self.runner.run(spec["name"], program(spec["name"], "fail"), timeoutMs=TIMEOUT_MS)
        if expected.get("signal"):
            self.assertEqual((result.reason, result.exit["signal"]), ("signaled", expected["signal"]), result)
            self.assertEqual((result.stdout.decode(), result.exit["stage"]), ("before\n", "run"), result)
        else:
            self.assert_ended(result, "before\n", expected["exitCode"], "run")
        self.assertIn(expected["stderr"], result.stderr.decode())

    def is_not_a_program(self, spec):
        expected = spec["checks"]["broken"]
        result = self.runner.run(spec["name"], program(spec["name"], "broken"), timeoutMs=TIMEOUT_MS)
        self.assert_ended(result, "", expected["exitCode"], "compile" if spec["compile"] else "run")
        self.assertIn(expected["stderr"], result.stderr.decode())

    def assert_ended(self, result, stdout, code, stage):
        self.assertIsNotNone(result.exit, result)
        self.assertEqual(result.stdout.decode(), stdout, result)
        self.assertEqual(
            (result.exit["reason"], result.exit["exitCode"], result.exit["stage"]), ("exited", code, stage), result
        )


for one in specifications():
    setattr(LanguageTests, "test_" + one["name"], lambda self, spec=one: self.check_language(spec))


class RuntimeTests(unittest.TestCase):
    """What holds for all of them together."""

    @classmethod
    def setUpClass(cls):
        cls.runner = Runner()
        cls.listed = {one["name"]: one for one in cls.runner.ask("runtimes")["runtimes"]}

    @classmethod
    def tearDownClass(cls):
        cls.runner.close()

    def test_none_is_left_out(self):
        self.assertEqual(sorted(self.listed), [spec["name"] for spec in specifications()])

    def test_names_aliases_and_extensions_are_unambiguous(self):
        names = [word for one in self.listed.values() for word in [one["name"], *one["aliases"]]]
        self.assertEqual(sorted(set(names)), sorted(names))
        extensions = [word for one in self.listed.values() for word in one["extensions"]]
        self.assertEqual(sorted(set(extensions)), sorted(extensions))

    def test_what_go_compiled_is_kept_in_the_home(self):
        if not self.listed["go"]["available"]:
            self.skipTest("needs golang-go")
        code = "package main\nfunc main() { println(4611) }"
        self.assertEqual(self.runner.run("go", code, timeoutMs=60000).stderr, b"4611\n")
        self.assertTrue(os.listdir(os.path.join(self.runner.home, ".cache", "go-build")))
