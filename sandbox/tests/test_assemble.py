"""What is done on the machine before a local VM starts."""

import os
import shutil
import subprocess
import tempfile
import unittest

import client

FAILED_MOUNT, MISUSE = 32, 64


def assemble(*words):
    return subprocess.run([client.RUNNER, "assemble", *words], capture_output=True, text=True, timeout=30)


@unittest.skipUnless(os.geteuid() == 0, "needs root, to mount")
class AssembleTests(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="martlet 'test")  # words are taken as they are
        self.addCleanup(shutil.rmtree, self.directory)

    def path(self, name, text=None):
        path = os.path.join(self.directory, name)
        if text is None:
            os.mkdir(path)
        else:
            with open(path, "w") as file:
                file.write(text)
        return path

    def mounts(self):
        with open("/proc/self/mounts") as file:
            return [line for line in file if os.path.basename(self.directory).split()[1] in line]

    def test_the_command_takes_over_with_its_words_and_streams(self):
        result = assemble("--", "sh", "-c", 'echo "$1"; echo err >&2; exit 3', "sh", "a 'b'")
        self.assertEqual((result.stdout, result.stderr, result.returncode), ("a 'b'\n", "err\n", 3))

    def test_what_is_bound_is_so_for_the_command_only(self):
        source, target = self.path("source"), self.path("target")
        self.path("source/file", "content")
        read = 'cat "$0/file"; touch "$0/new" || exit 5'
        result = assemble("unshare", "bind", source, target, "ro,nosuid,nodev", "--", "sh", "-c", read, target)
        self.assertEqual((result.stdout, result.returncode), ("content", 5), result.stderr)
        self.assertIn("Read-only file system", result.stderr)
        options = 'grep "target" /proc/self/mounts | cut -d " " -f 4'
        result = assemble("unshare", "bind", source, target, "ro,nosuid,nodev", "--", "sh", "-c", options)
        self.assertEqual(result.stdout.split(",")[:3], ["ro", "nosuid", "nodev"])
        result = assemble("unshare", "bind", source, target, "", "--", "sh", "-c", 'touch "$0/new"', target)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(os.listdir(target), [])
        self.assertEqual(self.mounts(), [])

    @unittest.skipUnless(os.path.exists("/dev/loop-control"), "needs loop devices")
    def test_a_home_is_a_file_system_in_a_file_and_lets_it_go(self):
        image, target = self.path("image", ""), self.path("target")
        os.truncate(image, 8 << 20)
        subprocess.run(["mkfs.ext4", "-q", image], check=True)
        write = 'echo kept >"$0/file"; grep "target" /proc/self/mounts'
        result = assemble("unshare", "home", image, target, "--", "sh", "-c", write, target)
        self.assertEqual(result.returncode, 0, result.stderr)
        kind, options = result.stdout.split()[-4:-2]
        self.assertEqual(kind, "ext4")
        self.assertLessEqual({"nosuid", "nodev", "noatime", "discard"}, set(options.split(",")))
        self.assertEqual(self.mounts(), [])
        client.wait_until(lambda: not self.loop_devices(image), 10, "the loop device let go")
        result = assemble("unshare", "home", image, target, "--", "sh", "-c", 'cat "$0/file"', target)
        self.assertEqual(result.stdout, "kept\n", result.stderr)
        client.wait_until(lambda: not self.loop_devices(image), 10, "the loop device let go")

    def loop_devices(self, image):
        found = []
        for name in os.listdir("/sys/block"):
            try:
                with open(f"/sys/block/{name}/loop/backing_file") as file:
                    found += [name] if file.read().rstrip("\n") == image else []
            except OSError:
                pass
        return found

    def test_a_directory_is_covered(self):
        target = self.path("target")
        self.path("target/file", "")
        result = assemble("unshare", "cover", target, "--", "ls", "-A", target)
        self.assertEqual((result.stdout, result.returncode), ("", 0), result.stderr)

    def test_files_are_written_and_descriptors_copied_before_it(self):
        target = self.path("target", "")
        result = assemble("write", "a b", target, "copy", "1", "7", "--", "sh", "-c", 'cat "$0" >&7', target)
        self.assertEqual((result.stdout, result.returncode), ("a b", 0), result.stderr)

    def test_a_mount_that_fails_is_told_by_its_own_code_and_nothing_runs(self):
        broken, target = self.path("broken", "no file system"), self.path("target")
        for step in (["home", broken, target], ["bind", "/nowhere", target, ""], ["cover", "/nowhere"]):
            result = assemble("unshare", *step, "--", "echo", "ran")
            self.assertEqual((result.stdout, result.returncode), ("", FAILED_MOUNT), result.stderr)
            self.assertIn("mounting", result.stderr)
        client.wait_until(lambda: not self.loop_devices(broken), 10, "the loop device let go")

    def test_whatever_else_fails_names_it_and_nothing_runs(self):
        for words, said in (
            (["write", "0", "/nowhere/file"], "/nowhere/file"),
            (["copy", "99", "7"], "descriptor 99"),
            (["--", "/nowhere/program"], "/nowhere/program"),
        ):
            result = assemble(*words, "--", "echo", "ran")
            self.assertEqual(result.stdout, "")
            self.assertNotIn(result.returncode, (0, FAILED_MOUNT))
            self.assertIn(said, result.stderr)
        for words in (["turn"], ["write", "0"], [], ["--"]):
            result = assemble(*words)
            self.assertEqual(result.returncode, MISUSE, words)
            self.assertIn("martlet-runner:", result.stderr)
