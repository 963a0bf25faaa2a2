"""Runs the tests in this directory, or those whose name holds one of the arguments and none of those after a '-'."""

import os
import subprocess
import sys
import unittest

import client


def c_program(name, objects):
    """A test in C, built with the flags and objects of the runner itself."""
    out = os.path.dirname(client.RUNNER)
    program = os.path.join(out, name)
    flags = ["-fsanitize=address,undefined"] if client.SANITIZED else ["-static-pie", "-fPIE"]
    subprocess.run(
        [
            "gcc",
            "-std=c11",
            "-D_GNU_SOURCE",
            "-g1",
            "-Wall",
            "-Wextra",
            "-Werror",
            *flags,
            "-I",
            client.SOURCES,
            "-o",
            program,
            os.path.join(client.SOURCES, "tests", name + ".c"),
            *(os.path.join(out, "objects", one + ".o") for one in objects),
            "-lseccomp",
            "-ljansson",
        ],
        check=True,
    )
    return program


class Plain(unittest.TextTestResult):
    """Counts what passed, for the closing line."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    def getDescription(self, test):
        return test.id().split(".", 1)[1]


def selected(suite, words):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from selected(test, words)
        elif is_wanted(test.id(), words):
            yield test


def is_wanted(name, words):
    wanted = [word for word in words if not word.startswith("-")]
    unwanted = [word[1:] for word in words if word.startswith("-")]
    return (not wanted or any(word in name for word in wanted)) and not any(word in name for word in unwanted)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("These tests start a runner with namespaces: run them as root.")
    tests = unittest.defaultTestLoader.discover(os.path.dirname(os.path.abspath(__file__)))
    result = unittest.TextTestRunner(resultclass=Plain, verbosity=2).run(
        unittest.TestSuite(selected(tests, sys.argv[1:]))
    )
    failed = len(result.failures) + len(result.errors)
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    sys.exit(1 if failed or not result.passed else 0)
