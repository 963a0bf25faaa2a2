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
    "forked": "import os\nif os.fork():\n os.wait()\n print('parent')\nelse:\n print('child', flush=True)",
    "left": "import subprocess\nsubprocess.Popen(['sleep', '100'])\nprint('left')",
    "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), daemon=True).start()\nprint(1)",
    "closed": "import os\nos.dup(1)\nos.close(0)\nprint(1, end='')",
    "named": "import os, signal\nopen('/proc/self/comm', 'w').write('martlet-end x')\n"
    "os.kill(os.getpid(), signal.SIGURG)\nprint(open('/proc/self/comm').read())",
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
    "slots finalized": "class A:\n  __slots__ = ()\n  def __del__(self): print('del')\na = A()",
    "subclass finalized": "class A:\n  def __del__(self): print('del')\nclass B(A): pass\nx = {1: (B(),)}",
    "finalizer in a module": "import types, json\nclass A:\n  def __del__(self): print('del')\njson.kept = A()",
    "generator left": "def f():\n  try: yield 1\n  finally: print('closed')\ng = f(); next(g)",
    "coroutine left": "async def f(): pass\nc = f()",
    "file left open": "import os\nr, w = os.pipe()\nif os.fork() == 0:\n  f = open(w, 'w'); f.write('kept')\n"
    "else: os.close(w); os.wait(); print(os.read(r, 9))",
    "weak callback": "import weakref\nclass A: pass\na = A(); r = weakref.ref(a, lambda _: print('called'))",
    "weak builtin callback": "import weakref\nclass A: pass\na = A(); r = weakref.ref(a, print)\ndel a",
    "weak finalize": "import weakref\nclass A: pass\na = A(); weakref.finalize(a, print, 'finalized')",
    "weak collections": "import weakref\nclass A: pass\na = A(); w = weakref.WeakKeyDictionary({a: 1}); s = weakref.WeakSet([a])",
    "own stdout": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='latin-1'); print('\xe4')",
    "unflushed": "import sys\nsys.stdout = open(1, 'w', 4096, closefd=False); sys.stdout.write('held back')",
    "stdout closed": "import sys\nsys.stdout.close()",
    "stdout full": "import sys, os\nsys.stdout = open('/dev/full', 'w'); print(1)",
    "exit in hook": "import sys\ndef f(*a): del sys.last_type; print(a[1])\nsys.excepthook = f\n1 / 0",
    "exit status of a fork": "import os\np = os.fork()\nif p: print(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))\n"
    "else: 1 / 0",
    "fork that returns": "import os\np = os.fork()\nif p: print(os.waitpid(p, 0)[1])\nelse: print('child')",
    "exit of an extension": "import ctypes; ctypes.CDLL(None).printf(b'held by C')",
    "daemon thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "exits registered late": "import atexit\natexit.register(lambda: atexit.register(print, 'later'))",
    "exits cleared": "import atexit; atexit._clear(); print(1)",
    "evaluation": "import sys\ndef f(n): return n and f(n - 1)\nprint(f(900)); exec('print(2)')\n"
    "def g():\n  while True: yield sys._getframe().f_back.f_code.co_name\nprint(next(g()))",
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


OTHERS = {
    "javascript": {
        "process": "console.log(process.argv, process.execArgv, process.env, process.title, process.argv0, process.cwd())",
        "traces": "const fs = require('fs'); process.stdout, process.stderr\n"  # which take descriptors when they are first used
        "console.log(fs.readdirSync('/proc/self/fd'), fs.openSync('x', 'w'), require.cache)",
        "module": "console.log(module, __filename, require.main === module, require('./helper.js'))",
        "uncaught": "function f() { throw new Error('größe') }\nf()",
        "syntax": "let = = 1",
        "exit": "process.on('exit', () => console.log('bye')); process.exitCode = 3",
        "reject": "Promise.reject(new Error('x'))",
        "timers": "setTimeout(() => console.log(2), 5); setImmediate(() => console.log(1))",
        "stdin": "process.stdin.on('data', d => console.log(d.toString())).on('end', () => console.log('end'))",
        "worker": "const { Worker, isMainThread } = require('worker_threads'); console.log(isMainThread);\n"
        "if (isMainThread) new Worker(__filename, { argv: ['w'] }); else console.log(process.argv.slice(2), process.env.X)",
        "fork": "const c = require('child_process'); if (process.argv[2] === 'c') process.send(process.execArgv);\n"
        "else c.fork(__filename, ['c']).on('message', m => console.log(m))",
        "signal": "process.kill(process.pid, 'SIGTERM'); setTimeout(() => {}, 1000)",
        "large": "process.stdout.write('x'.repeat(3000000))",
        "exit 0": "process.on('exit', c => console.log('a', c)); process.exit(0)",
        "late status": "process.on('exit', () => { process.exitCode = 4; console.log('b') })",
        "told by hand": "process.on('exit', () => console.log('told')); process.emit('exit', 0); console.log('goes on')",
        "thrown late": "process.on('exit', () => { throw 'late' })",
        "thrown by one": "process.on('exit', function f() { throw new Error('late') })",
        "thrown by the second": "process.on('exit', () => console.log(1)); process.on('exit', function f() { throw new Error('late') })",
        "thrown at exit": "process.on('exit', () => 0); process.on('exit', () => { throw new Error('late') }); process.exit()",
        "stacks of listeners": "const f = () => console.log(new Error('here').stack)\n"
        "for (const name of ['exit', 'beforeExit', 'mine']) process.on(name, f)\nprocess.emit('mine')",
        "stacks of several": "const f = (...a) => console.log(a, new Error('here').stack, process.listenerCount('exit'))\n"
        "for (const name of ['exit', 'exit', 'uncaughtException']) process.on(name, f)\nthrow new Error('caught')",
        "ten listeners": "for (let i = 0; i < 10; i++) process.on('exit', () => process.stdout.write(String(i)))",
        "told of listeners": "process.on('newListener', n => console.log(n)); process.on('exit', () => 0)",
        "own emit": "const { emit } = process; process.emit = function (...a) { console.log(a); return emit.apply(this, a) }\n"
        "console.log(Object.keys(process).includes('emit'))",
        "no listeners left": "process.on('exit', () => 0); process.on('exit', () => process.removeAllListeners())",
        "before": "let n = 0; process.on('beforeExit', () => { if (n++ < 2) setImmediate(() => console.log(n)) })",
        "left": "require('child_process').spawn('sleep', ['100'], { detached: true, stdio: 'ignore' }).unref()\n"
        "console.log('left')",
        "emit": "console.log(process.emit.name, process.emit.length, Object.keys(process))",
        "esm": "import('fs').then(m => console.log(typeof m.readFileSync))",
    },
    "ruby": {
        "process": "p ARGV, ENV.to_h, $0, __FILE__, $PROGRAM_NAME, Dir.pwd, Dir.children('.').sort, ARGV.map(&:encoding)",
        "traces": "p Dir.children('/proc/self/fd').sort, $LOADED_FEATURES, $LOAD_PATH, caller, global_variables.sort",
        "data": "p DATA.read, DATA.pos, DATA.path\n__END__\nörks\n",
        "local": "require_relative 'helper'; p HELP; p binding.local_variables, self, __method__",
        "uncaught": "def f = raise('größe')\nf",
        "guess": "[].frist",
        "syntax": "def (",
        "magic": "# frozen_string_literal: true\np 'a'.frozen?, __ENCODING__",
        "shebang": "#!/usr/bin/env ruby -w\np $VERBOSE",
        "exit": "at_exit { puts 'bye' }; exit 3",
        "abort": "abort 'text'",
        "signal": "Process.kill(:TERM, $$); sleep 1",
        "stdin": "p gets, $stdin.read",
        "fork": "fork { puts 'child' }; Process.wait; puts 'parent'",
        "empty": "",
    },
    "perl": {
        "process": "print join('|', @ARGV, map({\"$_=$ENV{$_}\"} sort keys %ENV), $0, __FILE__, @INC, sort keys %INC), $|",
        "traces": "opendir D, '/proc/self/fd'; print join ',', sort readdir D; open F, '>x'; print fileno F; print keys %Warm::",
        "data": "print <DATA>, tell DATA\n__END__\nabc\n",
        "uncaught": "use strict; die { a => 1 } if @ARGV > 5; sub f { die 'größe' } f()",
        "syntax": "my $x = ;",
        "shebang": "#!/usr/bin/perl -w\nmy @a = (1); print $a[5] . 'x';",
        "exit": "END { print 'bye' } exit 3",
        "signal": "kill TERM => $$; sleep 1",
        "stdin": "print scalar <STDIN>, <>; local @ARGV;",
        "fork": "if (!fork) { print 'child'; exit } wait; print 'parent'",
        "system": "system 'env | sort'; print `echo x`",
        "empty": "",
    },
    "php": {
        "process": "<?php unset($_SERVER['REQUEST_TIME'], $_SERVER['REQUEST_TIME_FLOAT']);"
        "var_dump($argv, $argc, $_SERVER, getenv(), array_keys($GLOBALS), getcwd(), __FILE__);",
        "uncaught": "<?php function f() { throw new Exception('größe'); } f();",
        "warning": "<?php echo $undefined; echo 1 / 1; trigger_error('x');",
        "syntax": "<?php function (",
        "exit": "<?php register_shutdown_function(fn() => print('bye')); exit(3);",
        "text": "plain <?= 1 + 1 ?> text\n",
        "shebang": "#!/usr/bin/php\n<?php echo __LINE__;",
        "halt": "<?php echo file_get_contents(__FILE__, offset: __COMPILER_HALT_OFFSET__); __halt_compiler();data",
        "stdin": "<?php unset($_SERVER); var_dump(fgets(STDIN), stream_get_contents(STDIN), get_defined_vars());",
        "include": "<?php include 'helper.php'; system('env | sort');",
        "empty": "",
    },
}
HELPERS = [
    {"path": "helper.py", "content": "value = 4611"},
    {"path": "helper.js", "content": "module.exports = module.parent?.filename + process.argv.length"},
    {"path": "helper.rb", "content": "HELP = [__FILE__, caller]"},
    {"path": "helper.php", "content": "<?php echo __FILE__, count(debug_backtrace());"},
]


def said(result):
    """All that a run says and that does not depend on when it ran."""
    fate = {key: result.exit[key] for key in ("exitCode", "signal", "reason", "stage", "truncated")}
    places = re.compile(rb" at 0x[0-9a-f]+|\b0x[0-9a-f]{8,}|<frozen[^>]*>|1[34]\d{13}")
    home = re.compile(rb"/var/lib/martlet-runner-test-\w+")
    return fate, *(home.sub(b"", places.sub(b"AT", text)) for text in (result.stdout, result.stderr))


class WarmTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cold = Runner()
        cls.addClassCleanup(cls.cold.close)
        cls.runner = Runner(warm=True)
        cls.addClassCleanup(cls.runner.close)

    def served(self, language):
        return self.runner.ask("ping")["warm"][language]["served"]

    @staticmethod
    def run_with_input(runner, language, code, **fields):
        if isinstance(code, bytes):
            fields["codeEncoding"], code = "base64", base64.b64encode(code).decode()
        connection = runner.open(language=language, code=code, **fields)
        connection.send(client.STDIN, b"one\ntwo\n")
        connection.send(client.STDIN_END)
        return runner.finish(connection)

    def compare(self, language, programs):
        fields = {"args": ["--one", "zwei größe"], "env": {"X": "1=2", "EMPTY": "", "Ü": "ü"}, "id": "an-id"}
        for name, code in programs.items():
            with self.subTest(f"{language}: {name}"):
                if not self.runner.kits(language):
                    self.runner.warm_up(language)
                before = self.served(language)
                warm = said(self.run_with_input(self.runner, language, code, files=HELPERS, **fields))
                if name != "shebang":
                    self.assertEqual(self.served(language), before + 1, "it did not run warm")
                self.assertEqual(warm, said(self.run_with_input(self.cold, language, code, files=HELPERS, **fields)))

    def test_python_says_the_same(self):
        self.compare("python", PYTHON)

    def test_other_languages_say_the_same(self):
        available = {one["name"]: one["available"] for one in self.runner.ask("runtimes")["runtimes"]}
        for language, programs in OTHERS.items():
            if available[language]:
                self.compare(language, programs)

    def test_every_warm_runtime_is_compared_here(self):
        self.assertEqual(set(self.runner.ask("ping")["warm"]), {"plain", "python", *OTHERS})

    def run_warm(self, code, **fields):
        if not self.runner.kits("python"):
            self.runner.warm_up("python")
        before = self.served("python")
        result = self.runner.run("python", code, **fields)
        self.assertEqual(self.served("python"), before + 1, "it did not run warm")
        return result

    def test_nothing_random_is_shared(self):
        code = (
            "import os, random, uuid, secrets, tempfile, ssl\n"
            "print(random.random(), random.getrandbits(64), uuid.uuid4(), secrets.token_hex(), ssl.RAND_bytes(8),\n"
            "      os.urandom(8), tempfile.mktemp())"
        )
        seen = [word for i in range(8) for word in self.run_warm(code).stdout.split()]
        self.assertEqual(len(set(seen)), len(seen))

    def test_runs_with_a_pause_between_them_have_hashes_of_their_own(self):
        code = "print(hash('martlet'))"
        first = self.run_warm(code).stdout
        deadline = time.monotonic() + 10
        while self.run_warm(code).stdout == first:  # the zygote is another soon
            self.assertLess(time.monotonic(), deadline)
            time.sleep(1.5)

    def test_a_run_leaves_nothing_for_the_next(self):
        spoil = """if True:
            import builtins, gc, json, os, random, resource, signal, sys, threading, time
            os.environ['LEFT'] = '1'; os.umask(0); os.chdir('/'); os.nice(3); signal.signal(signal.SIGALRM, print)
            signal.setitimer(signal.ITIMER_REAL, 0.2); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            builtins.left = json.left = sys.left = 1; sys.path.append('/left'); sys.modules['left'] = sys
            random.seed(1); resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99)); open('/tmp/left', 'w'); gc.disable()
            sys.setrecursionlimit(99); os.dup2(1, 77); threading.Timer(60, print).start()
            for name in ('left', '.left'): open(os.path.expanduser('~/' + name), 'w').close()
            os._exit(0)"""
        look = """if True:
            import builtins, gc, json, os, random, resource, signal, sys, threading, time
            time.sleep(0.3)
            print('LEFT' in os.environ, oct(os.umask(0)), os.getcwd(), os.nice(0), signal.getsignal(signal.SIGALRM),
                  signal.getitimer(signal.ITIMER_REAL), signal.pthread_sigmask(0, []), hasattr(builtins, 'left'),
                  hasattr(json, 'left'), hasattr(sys, 'left'), sys.path[-1], 'left' in sys.modules, gc.isenabled(),
                  resource.getrlimit(resource.RLIMIT_NOFILE), os.listdir('/tmp'), sys.getrecursionlimit(),
                  os.listdir('/proc/self/fd'), threading.active_count())"""
        clean = self.cold.run("python", look).stdout
        for i in range(4):
            self.run_warm(spoil)
            self.assertEqual(self.run_warm(look).stdout, clean)

    def test_what_is_read_at_the_start_is_respected(self):
        for name, value, code, said in (
            ("PYTHONHASHSEED", "0", "import sys; print(sys.flags.hash_randomization)", b"0\n"),
            ("PYTHONPATH", "/tmp/run/lib", "import extra; print(extra.x)", b"1\n"),
            ("PYTHONOPTIMIZE", "1", "assert 0; print(__debug__)", b"False\n"),
            ("TZ", "Asia/Tokyo", "import time; print(time.tzname[0])", b"JST\n"),
            ("LC_ALL", "C", "import sys; print(sys.flags.utf8_mode)", b"1\n"),
            ("HOME", "/nowhere", "import site; print(site.USER_BASE)", b"/nowhere/.local\n"),
        ):
            files = [{"path": "lib/extra.py", "content": "x = 1"}]
            result = self.runner.run("python", code, env={name: value}, files=files)
            self.assertEqual(result.stdout, said, result)

    def test_packages_in_the_home_are_found(self):
        place = os.path.join(self.runner.home, ".local/lib/python3.11/site-packages")
        os.makedirs(place)
        self.addCleanup(lambda: __import__("shutil").rmtree(os.path.join(self.runner.home, ".local")))
        cold_place = place.replace(self.runner.home, self.cold.home)
        os.makedirs(cold_place)
        self.addCleanup(lambda: __import__("shutil").rmtree(os.path.join(self.cold.home, ".local")))
        for at in (place, cold_place):
            for name, text in {
                "mine.py": "where = __file__",
                "mine.pth": "import sys; sys.from_pth = 1\n/tmp",
                "usercustomize.py": "import sys, os; sys.custom = os.getuid()",
            }.items():
                with open(os.path.join(at, name), "w") as file:
                    file.write(text)
        code = "import mine, sys, site; print(mine.where, sys.path, sys.from_pth, sys.custom, site.USER_SITE)"
        self.assertEqual(said(self.run_warm(code)), said(self.cold.run("python", code)))

    def test_limits_that_change_are_kept(self):
        hungry = "x = bytearray(300 << 20); print(len(x))"
        for megabytes, fate in ((150, "memory"), (1000, "exited"), (150, "memory")):
            for i in range(3):
                result = self.runner.run("python", hungry, limits={"memoryMb": megabytes})
                self.assertEqual(result.reason, fate, f"with {megabytes} MB: {result}")
                time.sleep(0.1)

    def zygotes(self):
        """Host pids of processes that are root and run an interpreter."""
        return [pid for pid in self.runner.descendants() if self.is_zygote(pid)]

    @staticmethod
    def is_zygote(pid):
        try:
            parent = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1]
            words = open(f"/proc/{pid}/cmdline").read()
            return words.startswith("python3") and not open(f"/proc/{parent}/cmdline").read().startswith("python3") and (
                os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
            )
        except (FileNotFoundError, ProcessLookupError):
            return False

    def test_the_end_of_a_zygote_is_survived(self):
        self.runner.warm_up("python")
        connection = self.runner.open(language="python", code="print('up'); input()")
        connection.receive_until(client.STDOUT)
        for pid in self.zygotes():
            os.kill(pid, signal.SIGKILL)
        connection.send(client.STDIN, b"go on\n")
        self.assertEqual(self.runner.finish(connection).exit["exitCode"], 0)
        for i in range(10):
            self.assertEqual(self.runner.run("python", "print(1)").stdout, b"1\n")
        self.runner.warm_up("python")

    def test_the_end_of_the_keeper_is_survived(self):
        runner = Runner(warm=True)
        self.addCleanup(runner.close)
        runner.warm_up("python")
        connection = runner.open(language="python", code="print('up'); input()")
        connection.receive_until(client.STDOUT)
        parents = {pid: parent for pid, (_, parent) in client.processes().items()}
        keeper = next(pid for pid, parent in parents.items() if parent == runner.process.pid and pid in parents.values()
                      and any(parents.get(zygote) == pid for zygote in parents))
        kept = [pid for pid, parent in parents.items() if parent == runner.process.pid]
        self.assertIn(keeper, kept)
        os.kill(min(kept), signal.SIGKILL)  # the oldest child
        self.assertEqual(runner.run("python", "print(1)").stdout, b"1\n")
        connection.send(client.STDIN, b"go on\n")
        self.assertEqual(runner.finish(connection).exit["exitCode"], 0)
        wait_until(lambda: runner.run("python", "print(1)").stdout == b"1\n" and runner.kits("python"), 10, "a new keeper")

    def test_what_was_killed_while_it_waited_is_not_used(self):
        """As the kernel may, when memory is short."""
        runner = Runner(warm=True)
        self.addCleanup(runner.close)
        for language, code in (("bash", "echo 1"), ("python", "print(1)"), ("javascript", "console.log(1)")):
            kind = "plain" if language == "bash" else language
            if not runner.kits(kind):
                runner.warm_up(kind)
            wait_until(runner.programs, 10, "a program that waits")
            keeper = min(pid for pid, (_, parent) in client.processes().items() if parent == runner.process.pid)
            for stopped in (False, True):  # it hears of the end before it hears of the run, and both at once
                with self.subTest(f"{language}, keeper stopped: {stopped}"):
                    if stopped:
                        os.kill(keeper, signal.SIGSTOP)
                    for pid in runner.programs():
                        os.kill(pid, signal.SIGKILL)
                    connection = runner.open(language=language, code=code)
                    if stopped:
                        time.sleep(0.1)  # its ticket is there
                        os.kill(keeper, signal.SIGCONT)
                    result = runner.finish(connection)
                    self.assertEqual((result.stdout, result.reason, result.exit["exitCode"]), (b"1\n", "exited", 0), result)
                    wait_until(lambda: runner.kits(kind), 10, f"another kit for {kind}: {runner.log}")
        self.assertIn("its program was killed while it waited", "".join(runner.log))

    def test_a_run_that_kills_all_it_can_hurts_nobody(self):
        self.runner.warm_up("python")
        waiting = self.runner.kits("python")
        result = self.run_warm("import os, signal\nos.kill(-1, 9)")
        self.assertIn(result.reason, ("exited", "signaled"))
        self.assertGreaterEqual(self.runner.kits("python"), waiting - 1)
        self.assertEqual(self.run_warm("print(1)").stdout, b"1\n")

    def test_runs_in_a_row_do_not_copy_what_they_do_not_write(self):
        runner = Runner(warm=True)
        self.addCleanup(runner.close)
        code = "print(*[line.split()[1] for line in open('/proc/self/smaps_rollup') if 'Private_Dirty' in line])"

        def own_kilobytes():
            wait_until(lambda: runner.kits("python"), 10, "a kit")
            return int(runner.run("python", code).stdout)

        runner.warm_up("python")
        everything = max(own_kilobytes() for i in range(2))
        wait_until(lambda: own_kilobytes() < everything * 0.6, 10, f"a run with less than {everything} KB of its own")

    def test_many_at_once_are_all_right(self):
        connections = [self.runner.open(language="python", code=f"print({i}, hash(1))") for i in range(60)]
        self.assertEqual(
            [self.runner.finish(connection).stdout for connection in connections], [b"%d 1\n" % i for i in range(60)]
        )

    def test_what_waits_costs_no_processor_time(self):
        for language in ("plain", "python"):
            self.runner.warm_up(language)
        time.sleep(2.5)  # a zygote is replaced after use

        def ticks():
            total = 0
            for pid in self.runner.descendants():
                fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            return total

        wait_until(lambda: self.runner.kits("python") >= 2, 10, "kits")
        time.sleep(0.5)
        before = ticks()
        time.sleep(3)
        self.assertLessEqual(ticks() - before, 2)  # hundredths of a second

    def test_what_was_used_before_a_run_is_not_its_own(self):
        if not self.runner.kits("javascript"):
            self.runner.warm_up("javascript")
        self.assertLess(self.runner.run("javascript", "0").exit["cpuMs"], 40)
