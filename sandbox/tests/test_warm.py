"""What runs warm is what it is cold: the same bytes, the same end, the same walls, and nothing of another run."""

import base64
import json
import os
import re
import signal
import time
import unittest

import client
from client import USER, Runner, wait_until

IS_WARM = "import sys; print('random' in sys.modules)"  # what the zygote imports and Python does not

# Programs of which a warm run must say byte for byte what a cold one says. Keys tell what they are about.
PYTHON = {
    "nothing": "",
    "print": "print('größe', '😀', 1)",
    "names": "print(__name__, __file__, __doc__, __package__, __spec__, sorted(globals()))",
    "main": "if __name__ == '__main__': print('main')\nimport __main__; print(__main__.__file__)",
    "arguments": "import sys; print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys.flags)",
    "environment": "import os; print(dict(os.environ), os.getenv('HOME')); os.system('env | sort')",
    "place": "import os; print(os.getcwd(), os.listdir(), os.getpid(), os.getppid(), os.getsid(0), os.getpgrp())",
    "ids": "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), oct(os.umask(0)))",
    "descriptors": "import os; print(os.listdir('/proc/self/fd')); print(open('x', 'w').fileno())",
    "streams": "import sys; print(sys.stdin, sys.stdout, sys.stderr, sys.stdout.line_buffering, sys.stdin.buffer)",
    "status": "for line in open('/proc/self/status'):\n  name, value = line.split(':')\n"
    "  if name[:3] in ('Sig', 'Shd') and name != 'SigQ': print(name, int(value, 16) & 0x7fffffff)\n"
    "  if name[:3] in ('Cap', 'NoN', 'Sec', 'Nam', 'Uma', 'NSp'): print(line)",
    "limits": "import resource as r\nprint([r.getrlimit(getattr(r, n)) for n in dir(r) if n.startswith('RLIMIT_')])",
    "signals": "import signal; print({s: signal.getsignal(s) for s in signal.valid_signals()}); "
    "print(signal.pthread_sigmask(0, []), signal.getitimer(0))",
    "title": "print(open('/proc/self/cmdline').read().split('\\0')[:3], open('/proc/self/comm').read())",
    "oom": "print(open('/proc/self/oom_score_adj').read())",
    "uncaught": "def f(): g()\ndef g(): raise ValueError('größe')\nf()",
    "chained": "try: 1 / 0\nexcept ZeroDivisionError as e: raise KeyError(1) from e",
    "syntax": "def f(:\n  pass",
    "indentation": "if 1:\nprint(2)",
    "nul": "print(1)\0",
    "not utf-8": b"print('\xff')",
    "bom": b"\xef\xbb\xbfprint(__file__)",
    "coding": b"# coding: latin-1\nprint('\xe4')",
    "exit 3": "raise SystemExit(3)",
    "exit text": "import sys; sys.exit('text')",
    "exit none": "import sys; sys.exit()",
    "exit 256": "import sys; sys.exit(256)",
    "exit -1": "import sys; sys.exit(-1)",
    "_exit": "import os; print(1); os._exit(7)",
    "exits last": "import atexit, sys; atexit.register(print, 'bye'); sys.exit(4)",
    "exits fail": "import atexit; atexit.register(lambda: 1 / 0)",
    "finalizers": "class A:\n  def __del__(self): print('del', __name__)\na = A(); b = [a]; b.append(b)",
    "unraisable": "class A:\n  def __del__(self): 1 / 0\nA()",
    "signal death": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "abort": "import os; os.abort()",
    "segv": "import ctypes; ctypes.string_at(0)",
    "recursion": "def f(n):\n  global d; d = n\n  f(n + 1)\ntry: f(1)\nexcept RecursionError as e: print(d, e)",
    "stack": "import inspect, sys; print(len(inspect.stack()), sys._getframe().f_back)",
    "threads": "import threading\nt = [threading.Thread(target=print, args=(i,)) for i in range(3)]\n"
    "for x in t: x.start(); x.join()\nm = threading.main_thread()\nimport os\n"
    "print(m, m.native_id == os.getpid() == threading.get_native_id(), m.ident == threading.get_ident())",
    "thread fails": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='x'); t.start(); t.join()",
    "thread outlives": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
    "fork": "import os\nif os.fork() == 0: print('child', flush=True); os._exit(0)\nos.wait(); print('parent')",
    "multiprocessing": "import multiprocessing as m\ndef f(x): return x * x\n"
    "if __name__ == '__main__':\n  with m.Pool(2) as p: print(p.map(f, range(5)))",
    "spawn": "import multiprocessing as m\ndef f(q): q.put(__name__)\nif __name__ == '__main__':\n"
    "  c = m.get_context('spawn'); q = c.Queue(); p = c.Process(target=f, args=(q,)); p.start(); print(q.get()); p.join()",
    "subprocess": "import subprocess, sys; print(subprocess.run([sys.executable, '-c', "
    "'import sys, os; print(sys.argv, sys.flags.dont_write_bytecode, os.environ.get(\"PYTHONPATH\"))'], "
    "capture_output=True))",
    "executor": "import concurrent.futures as c\nwith c.ThreadPoolExecutor() as e: print(list(e.map(abs, [-1, 2])))",
    "asyncio": "import asyncio\nasync def f(): await asyncio.sleep(0.01); print('ran')\nasyncio.run(f())",
    "input": "print(input('? '), input())",
    "end of input": "input(); input(); input()",
    "stdin": "import sys; print(repr(sys.stdin.read()), sys.stdin.isatty(), sys.stdin.encoding, sys.stdin.errors)",
    "large": "print('x' * 3_000_000)",
    "many lines": "for i in range(20000): print(i)",
    "both streams": "import sys; sys.stderr.write('err\\n'); print('out')",
    "broken pipe": "import os; r, w = os.pipe(); os.close(r)\ntry: os.write(w, b'x')\nexcept OSError as e: print(e)",
    "closed stdout": "import sys; sys.stdout.close()",
    "closed by number": "import os; os.close(1); print('x')",
    "module": "import helper; print(helper.__file__, helper.value)",
    "warnings": "import warnings; warnings.warn('careful')\ndef f(): warnings.warn('deep', stacklevel=2)\nf()",
    "logging": "import logging; logging.warning('x')",
    "json": "import json, re, random, datetime; print(json.dumps({'a': [1, None]}), re.findall('a+', 'aab'))",
    "meta": "import sys; print(sys.meta_path, sys.path_hooks, sorted(sys.path_importer_cache), 'usercustomize' in sys.modules,"
    " 'zygote' in sys.modules)",
    "site": "import site; print(site.ENABLE_USER_SITE, site.USER_SITE, site.USER_BASE, site.getsitepackages())",
    "locale": "import locale, sys; print(locale.setlocale(locale.LC_ALL), locale.getlocale(), sys.getfilesystemencoding(),"
    " sys.getdefaultencoding())",
    "hooks": "import sys; print(sys.excepthook, sys.displayhook, sys.gettrace(), sys.getprofile(), sys.getrecursionlimit(),"
    " sys.getswitchinterval())",
    "collector": "import gc; print(gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.garbage)",
    "time": "import time; print(time.tzname, time.timezone, time.process_time() < 1)",
}


def said(result):
    """All that a run says and that does not depend on when it ran."""
    fate = {key: result.exit[key] for key in ("exitCode", "signal", "reason", "stage", "truncated")}
    places = re.compile(rb" at 0x[0-9a-f]+|\b0x[0-9a-f]{8,}|<frozen[^>]*>|139\d{12}")
    home = re.compile(rb"/var/lib/martlet-runner-test-\w+")
    return fate, *(home.sub(b"", places.sub(b"AT", text)) for text in (result.stdout, result.stderr))


class WarmTests(unittest.TestCase):
    cgroup = None

    @classmethod
    def setUpClass(cls):
        cls.cold = Runner()
        cls.addClassCleanup(cls.cold.close)
        cls.runner = Runner(cgroup=cls.cgroup, warm=True)
        cls.addClassCleanup(cls.runner.close)

    def warm_up(self, language="python", **fields):
        """Runs until the keeper has kits for this."""
        self.runner.run(language, "", **fields)
        wait_until(lambda: self.kits(language), 10, f"a kit for {language}")

    def kits(self, language):
        """How many kits wait in which this language's interpreter is up."""
        return self.runner.ask("ping")["warm"][language]["ready"]

    def served(self, language):
        return self.runner.ask("ping")["warm"][language]["served"]

    def run_both(self, language, code, **fields):
        if not self.kits(language):
            self.warm_up(language, limits=fields.get("limits", {}))
        if isinstance(code, bytes):
            fields["codeEncoding"], code = "base64", base64.b64encode(code).decode()
        before = self.served(language)
        warm = said(self.run_with_input(self.runner, language, code, **fields))
        self.assertEqual(self.served(language), before + 1, "it did not run warm")
        return said(self.run_with_input(self.cold, language, code, **fields)), warm

    @staticmethod
    def run_with_input(runner, language, code, **fields):
        connection = runner.open(language=language, code=code, **fields)
        connection.send(client.STDIN, b"one\ntwo\n")
        connection.send(client.STDIN_END)
        return runner.finish(connection)

    def test_python_says_the_same(self):
        files = [{"path": "helper.py", "content": "value = 4611"}]
        for name, code in PYTHON.items():
            with self.subTest(name):
                cold, warm = self.run_both("python", code, args=["--one", "zwei größe"], env={"X": "1", "Ü": "ü"},
                                           files=files, id="an-id")
                self.assertEqual(warm, cold)
