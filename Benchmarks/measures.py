"""The measurements, each a function that adds rows to the report, and the targets that are held against them."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import calls
import servers
from figures import Target, alternating, elapsed
from servers import PYTHON

LANGUAGES = {
    # language: the program, and what is started by hand
    "python": ("print(1)", [PYTHON, "-c", "print(1)"]),
    "javascript": ("console.log(1)", ["node", "-e", "console.log(1)"]),
    "ruby": ("puts 1", ["ruby", "-e", "puts 1"]),
    "perl": ("print 1", ["perl", "-e", "print 1"]),
    "php": ("<?php echo 1;", ["php", "-r", "echo 1;"]),
    "bash": ("echo 1", ["bash", "-c", "echo 1"]),
    "lua": ("print(1)", ["lua5.4", "-e", "print(1)"]),
}
PAUSE = 0.03  # seconds: what a call leaves for later is done by then
HELLO = '#include <iostream>\nint main() { std::cout << "Hello, world!%s\\n"; }\n'
TICKS = """#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(void) {
    for (int i = 0; i < 120; i++) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        printf("@%ld.%06ld@\\n", (long)now.tv_sec, now.tv_nsec / 1000);
        fflush(stdout);
        sleep(1);
    }
}
"""


def quietly(command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


class Bench:
    """What every measurement is given."""

    def __init__(self, report, options, directory, martlet, ssh, lean_ssh):
        self.report, self.options, self.directory, self.martlet = report, options, directory, martlet
        self.ssh = ssh  # as whoever runs this has it
        self.lean_ssh = lean_ssh  # the same without the start-up files of the shell

    def request(self, code, language="python", **fields):
        return calls.execution(self.martlet.token, code, language, **fields)

    def running(self, code, language="python", caller=None, **fields):
        """What makes the call to the last byte of its answer."""
        caller, request = caller or calls.Caller(self.martlet.url), self.request(code, language, **fields)
        return lambda: caller.run(request)


def warm(bench):
    """Warm calls beside the interpreter started by hand, in turn."""
    for language, (code, words) in LANGUAGES.items():
        if not shutil.which(words[0]):
            bench.report.lack(f"{language}, warm", f"{words[0]} is not installed")
            continue
        is_python = language == "python"
        rounds = bench.options.warm if is_python else max(20, bench.options.warm // 4)
        found = alternating(rounds, warmups=12, ours=bench.running(code, language), bare=lambda: quietly(words))
        bench.report.add(f"warm {language}", f"{language}, warm, through the gateway", found["ours"])
        bench.report.add(f"bare {language}", " ".join(words)[:46], found["bare"])
    over = alternating(
        max(20, bench.options.warm // 4), ssh=lambda: quietly([*bench.ssh, f"{PYTHON} -c 'print(1)'"]),
        lean=lambda: quietly([*bench.lean_ssh, f"{PYTHON} -c 'print(1)'"]))
    bench.report.add("ssh python", "python3 over ssh, ControlMaster", over["ssh"])
    bench.report.add("lean ssh python", "  a shell without start-up files", over["lean"])


def back_to_back(bench):
    """One caller that waits for nothing between its calls: what one leaves behind is in the way of the next."""
    found = alternating(bench.options.warm, warmups=12, ours=bench.running("print(1)"))
    bench.report.add("back to back", "python, warm, one call after the other", found["ours"])


def forking(bench):
    with servers.forking_loop(bench.directory) as call:
        found = alternating(bench.options.warm, fork=call)
        bench.report.add("fork python", "print(1) in a bare forking loop", found["fork"])
        bench.report.add("fork rate", f"bare forking loop, {bench.options.callers} callers",
                         [calls.rate(bench.options.callers, bench.options.seconds, lambda: call)], "/s")


def floors(bench):
    """What no change of ours gets below: the way to a VM and back, the walls of a run, the library that speaks SSH."""
    caller = calls.Caller(bench.martlet.url)
    refused, warm_call = bench.request("print(1)", "swift"), bench.running("print(1)", caller=caller)
    try:
        found = alternating(
            bench.options.warm, pause=PAUSE, ours=warm_call, refused=lambda: caller.be_refused(refused))
        bench.report.add("paced beside refused", "python, warm, in turns with", found["ours"])
        bench.report.add("refused", "a call that the runner in the VM refuses", found["refused"])
    except calls.Refused as error:
        bench.report.lack("a call that is refused", f"Swift is installed here, it seems: {error}")
    with servers.forking_loop(bench.directory, "--walls") as call:
        found = alternating(bench.options.warm, walls=call)
        bench.report.add("walls", "print(1) in a forking loop with a run's walls", found["walls"])
        bench.report.add("walls rate", f"  of {bench.options.callers} callers",
                         [calls.rate(bench.options.callers, bench.options.seconds, lambda: call)], "/s")
    size, file = bench.options.megabytes, f"{bench.directory}/much"
    with open(file, "wb") as much:
        for _ in range(size):
            much.write(b"x" * 1_000_000)
    copy = servers.libssh2_copy(bench.ssh, file)
    found = alternating(3, warmups=1, libssh2=lambda: quietly(copy), ssh=lambda: quietly([*bench.ssh, f"cat {file}"]))
    for name, title in (("libssh2", "a file by curl, which uses libssh2"), ("ssh", "the same file by ssh … cat")):
        bench.report.add(f"{name} file", f"{size} MB: {title}", [size * 1e3 / taken for taken in found[name]], "MB/s")
    os.unlink(file)


def throughput(bench):
    def caller():
        return bench.running("print(1)", caller=calls.Caller(bench.martlet.url))

    calls.rate(bench.options.callers, 2, caller)  # pools follow demand
    bench.report.add("rate", f"python, warm, {bench.options.callers} callers",
                     [calls.rate(bench.options.callers, bench.options.seconds, caller)], "/s")
    for name, ssh, words in (("ssh rate", bench.ssh, "over ssh"), ("lean ssh rate", bench.lean_ssh, "over lean ssh")):
        command = [*ssh, f"{PYTHON} -c 'print(1)'"]
        bench.report.add(
            name, f"python3 -c {words}, {bench.options.callers} callers",
            [calls.rate(bench.options.callers, bench.options.seconds, lambda: lambda: quietly(command))], "/s")


def jupyter(bench):
    """In turns with cells of a warm kernel, and a pause before each, as somebody makes who looks at what came."""
    call, warmups, rounds = bench.running("print(1)"), 5, max(20, bench.options.warm // 2)
    with servers.jupyter() as cell:
        turns = {"at once": lambda: cell("at once"), "delayed": lambda: cell("delayed"), "ours": lambda: elapsed(call)}
        found = {name: [] for name in turns}
        for _ in range(warmups + rounds):
            for name, turn in turns.items():
                time.sleep(PAUSE)
                found[name].append(turn())
        found["in a row"] = [cell("at once") for _ in range(warmups + rounds)]
    for key, name, title in (
            ("paced", "ours", f"python, warm, {PAUSE * 1000:.0f} ms after whatever came before"),
            ("jupyter", "at once", "Jupyter Kernel Gateway, acknowledged at once"),
            ("jupyter delayed", "delayed", "Jupyter Kernel Gateway, acknowledged late"),
            ("jupyter in a row", "in a row", "  one cell after the other, at once")):
        bench.report.add(key, title, found[name][warmups:])


def compiled(bench):
    rounds = max(5, bench.options.warm // 20)
    by_hand, first, again, caller = [], [], [], calls.Caller(bench.martlet.url)
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory, "main.cpp")
        command = f"cd {directory} && g++ -std=gnu++20 -O1 -Wall -o a.out main.cpp && ./a.out >/dev/null"
        for turn in range(rounds + 1):
            program = HELLO % f"{os.getpid()} {turn}"
            source.write_text(program)
            taken = [elapsed(lambda: quietly(["sh", "-c", command]))]
            call = bench.running(program, "cpp", caller=caller)
            taken += [elapsed(call) for _ in range(6)]
            if turn:
                by_hand.append(taken[0])
                first.append(taken[1])
                again += taken[2:]
    bench.report.add("cpp by hand", "g++ main.cpp && ./a.out", by_hand)
    bench.report.add("cpp first", "hello, world in C++, first time", first)
    bench.report.add("cpp again", "hello, world in C++, again", again)


def line(bench):
    code = (f"import time\nfor i in range({bench.options.lines}):\n"
            " print(f'@{time.time()}@', flush=True); time.sleep(0.05)")
    with contextlib.closing(socket.create_connection(calls.address(bench.martlet.url), timeout=60)) as connection:
        stream = connection.makefile("rb")
        connection.sendall(bench.request(code))
        delays = []
        while text := stream.readline():
            now = time.time()
            delays += [(now - float(part)) * 1000 for part in text.decode().split("@")[1:-1] if len(part) > 9]
            if b'"event":"exit"' in text:
                break
    bench.report.add("line", "a line, from print to client", delays)


def output(bench):
    size = bench.options.megabytes
    program = f"head -c {size}000000 /dev/zero | tr '\\0' x"
    caller, request = calls.Caller(bench.martlet.url), bench.request(
        program, "bash", accept="text/plain", limits={"outputBytes": 1 << 30}, timeoutMs=120_000)

    def through_gateway():
        total = caller.drain(request)
        if total != size * 1_000_000:
            raise calls.Refused(f"{total} bytes of output arrived, not {size}000000")

    found = alternating(3, warmups=0, ours=through_gateway, ssh=lambda: quietly([*bench.ssh, program]))
    rates = {name: [size * 1e3 / milliseconds for milliseconds in samples] for name, samples in found.items()}
    bench.report.add("output", f"{size} MB of output through the gateway", rates["ours"], "MB/s")
    bench.report.add("ssh output", f"{size} MB over ssh, ControlMaster", rates["ssh"], "MB/s")


def streams(bench):
    count = bench.options.streams
    request = bench.request(TICKS, "c", timeoutMs=300_000, limits={"memoryMb": 32, "processes": 8})
    before, memory = bench.martlet.resident(), []
    delays = asyncio.run(calls.open_streams(
        bench.martlet.url, request, count, lambda: memory.append(bench.martlet.resident()), bench.options.seconds * 2))
    bench.report.add("streams", f"a line a second in each of {count} streams", delays)
    bench.report.add("stream memory", "memory of the gateway a stream", [(memory[0] - before) / count / 1024], "KB")


def cold(bench):
    client, call = bench.martlet.client, bench.running("print(1)")
    samples = []
    for _ in range(bench.options.cold):
        client.stop()
        samples.append(elapsed(call))
    bench.report.add("cold", "cold call on a stopped VM", samples)


def herd(bench):
    """Many stopped VMs woken at once, twice."""
    client, count = bench.martlet.client, bench.options.herd
    owner = client.call("GET", "/v1/admin/users")["users"][0]["name"]
    tier = client.call("GET", "/v1/admin/users")["users"][0]["tier"]
    client.call("PATCH", f"/v1/admin/users/{owner}", {"tier": "unlimited"})
    slugs = []
    try:
        for number in range(count):
            slugs.append(client.call("POST", "/v1/environments", {
                "name": f"herd {number}", "vcpus": 1, "memoryMb": 512, "diskMb": 1024})["environment"]["slug"])
        for slug in slugs:
            client.wait("running", slug)
        samples, failures = [], []
        for _ in range(2):
            for slug in slugs:
                client.call("POST", f"/v1/environments/{slug}/stop")
            for slug in slugs:
                client.wait("stopped", slug)
            taken, failed = calls.at_once(
                [bench.running("print(1)", path=f"/v1/environments/{slug}/execute") for slug in slugs])
            samples += taken
            failures += failed
    finally:
        for slug in slugs:
            client.call("DELETE", f"/v1/environments/{slug}")
        client.call("PATCH", f"/v1/admin/users/{owner}", {"tier": tier})
    if samples:
        bench.report.add("herd", f"cold calls on {count} VMs at once", samples)
    bench.report.add("herd failures", "  of which failed", [len(failures)], "")
    if failures:
        bench.report.lack("some of the VMs woken at once", failures[0])


def docker(bench):
    """The same on VMs of Docker, beside the engine's own `exec` and start."""
    with servers.docker_engine(f"{bench.directory}/docker", bench.options.binary) as engine:
        started = engine.call("POST", "/containers/create", {
            "Image": servers.IMAGE, "Entrypoint": ["sleep", "infinity"], "NetworkDisabled": True})["Id"]
        engine.call("POST", f"/containers/{started}/start")
        execute = ["docker", "--host", engine.host, "exec", started, "python3", "-c", "print(1)"]
        found = alternating(max(20, bench.options.warm // 8), exec=lambda: quietly(execute))
        bench.report.add("docker exec", "docker exec python3 -c 'print(1)'", found["exec"])
        engine.call("DELETE", f"/containers/{started}?force=1")
        with servers.martlet(
                f"{bench.directory}/docker-martlet", bench.options.binary, VM_PROVIDER="docker",
                DOCKER_HOST=engine.host, MARTLET_RECONCILE_INTERVAL="3600") as other:
            docker_wake(bench, engine, other)


def docker_wake(bench, engine, other):
    caller = calls.Caller(other.url)
    request = calls.execution(other.token, "print(1)")
    caller.run(request)
    found = alternating(max(20, bench.options.warm // 8), ours=lambda: caller.run(request))
    bench.report.add("docker warm", "python, warm, in a VM of Docker", found["ours"])
    container = engine.call("GET", "/containers/json")[0]["Id"]
    ours, theirs = [], []
    for _ in range(max(5, bench.options.cold // 10)):
        other.client.stop()
        theirs.append(elapsed(lambda: start_to_banner(engine, container)))
        engine.call("POST", f"/containers/{container}/stop?t=2")
        ours.append(elapsed(lambda: caller.run(request)))
    bench.report.add("docker wake", "cold call on a stopped VM of Docker", ours)
    bench.report.add("docker start", "engine's start to the first SSH banner", theirs)


def start_to_banner(engine, container):
    engine.call("POST", f"/containers/{container}/start")
    port = engine.call("GET", f"/containers/{container}/json")["NetworkSettings"]["Ports"]["22/tcp"][0]["HostPort"]

    def greets():
        with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"

    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            if greets():
                return
        if time.monotonic() > deadline:
            raise calls.Refused("no SSH banner within 60 s")


ALL = {
    "warm": warm, "back-to-back": back_to_back, "forking": forking, "floors": floors, "jupyter": jupyter, "line": line,
    "cpp": compiled, "output": output, "throughput": throughput, "cold": cold, "streams": streams,
    "herd": herd, "docker": docker,
}

TARGETS = [
    Target("warm python / python3 -c, p50", "warm python", 0.25, "bare python"),
    Target("warm python / python3 -c, p99", "warm python", 0.75, "bare python", share=0.99),
    Target("warm python / ssh, ControlMaster", "warm python", 0.1, "ssh python"),
    Target("  … whose shell has no start-up files", "warm python", 0.1, "lean ssh python"),
    Target("warm python / Jupyter Kernel Gateway, acknowledged at once", "paced", 0.5, "jupyter"),
    Target("warm node / node -e", "warm javascript", 0.1, "bare javascript"),
    *[Target(f"warm {language} / its bare start", f"warm {language}", 1, f"bare {language}")
      for language in ("ruby", "perl", "php", "bash", "lua")],
    Target("calls a second / python3 -c over ssh", "rate", 5, "ssh rate", at_least=True),
    Target("  … whose shell has no start-up files", "rate", 5, "lean ssh rate", at_least=True),
    Target("calls a second / bare forking loop", "rate", 0.6, "fork rate", at_least=True),
    Target("cold call, p50, ms", "cold", 120),
    Target("cold call, p99, ms", "cold", 300, share=0.99),
    Target("cold calls at once, p99, ms", "herd", 2500, share=0.99),
    Target("cold calls at once that failed", "herd failures", 0),
    Target("Docker: cold call / engine's start to SSH banner", "docker wake", 1.3, "docker start"),
    Target("C++ again, p50, ms", "cpp again", 15),
    Target("C++ first time / g++ && ./a.out", "cpp first", 1.1, "cpp by hand"),
    Target("one stream / ssh … cat", "output", 0.8, "ssh output", at_least=True),
    Target("line in one of many streams, p99, ms", "streams", 100, share=0.99),
    Target("memory of the gateway a stream, KB", "stream memory", 64),
]
