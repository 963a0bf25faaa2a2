"""Callers of Martlet's API: one that does what an HTTP library does, and one that costs next to nothing itself."""

import asyncio
import http.client
import json
import socket
import threading
import time


class Refused(Exception):
    pass


def address(url):
    host, port = url.removeprefix("http://").rstrip("/").rsplit(":", 1)
    return host, int(port)


class Client:
    """For everything that is not measured."""

    def __init__(self, url, token):
        self.connection = http.client.HTTPConnection(*address(url), timeout=180)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        response = self.connection.getresponse()
        data = response.read()
        self.connection.close()  # it would be closed while something else is measured
        if response.status >= 400:
            raise Refused(f"{method} {path}: {response.status} {data.decode()}")
        return json.loads(data) if data else None

    def environment(self, slug=None):
        if slug:
            return self.call("GET", f"/v1/environments/{slug}")["environment"]
        return self.call("GET", "/v1/vm")["vm"]

    def wait(self, state, slug=None, seconds=120):
        deadline = time.monotonic() + seconds
        while (found := self.environment(slug)["state"]) != state:
            if time.monotonic() > deadline or found == "error":
                raise Refused(f"the VM is '{found}' and not '{state}'")
            time.sleep(0.02)

    def stop(self, slug=None):
        self.call("POST", f"/v1/environments/{slug}/stop" if slug else "/v1/vm/stop")
        self.wait("stopped", slug)


def execution(token, code, language="python", accept="application/x-ndjson", path="/v1/execute", **fields):
    """The bytes of a request."""
    body = json.dumps({"code": code, "language": language, "stdin": "", **fields}).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: martlet\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


class Caller:
    """One keep-alive connection, and no parsing: of a run's stream, only whether it ended well."""

    END = b"\r\n0\r\n\r\n"

    def __init__(self, url):
        self.socket = socket.create_connection(address(url), timeout=180)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _expect(self, request, mark):
        """To the last byte of the answer, which holds the mark. Raises where it does not."""
        self.socket.sendall(request)
        answer = b""
        while not answer.endswith(self.END):
            part = self.socket.recv(65536)
            answer += part
            if not part or (answer.startswith(b"HTTP/1.1 ") and not answer.startswith(b"HTTP/1.1 2")):
                raise Refused(answer.decode(errors="replace"))
        if mark not in answer:
            raise Refused(answer.decode(errors="replace"))
        return answer

    def run(self, request):
        """To the last byte of the answer. Raises where the program did not exit with 0."""
        return self._expect(request, b'"event":"exit","exitCode":0,')

    def be_refused(self, request):
        """To the end of a stream that says that the VM has not what the program needs."""
        return self._expect(request, b'"code":"runtime_unavailable"')

    def drain(self, request):
        """How many bytes came, chunk sizes left out, for an answer that is too large to keep."""
        stream = self.socket.makefile("rb")
        self.socket.sendall(request)
        while stream.readline() != b"\r\n":
            pass
        total, buffer = 0, memoryview(bytearray(1 << 20))
        while size := int(stream.readline(), 16):
            total += size
            while size:
                size -= stream.readinto(buffer[:min(size, len(buffer))])
            stream.readline()
        while stream.readline() != b"\r\n":
            pass
        return total


def rate(callers, seconds, prepare):
    """Calls a second of so many callers; `prepare` gives each its action."""
    actions = [prepare() for _ in range(callers)]
    counts, failures = [], []
    end = time.perf_counter() + seconds

    def work(action):
        done = 0
        try:
            while time.perf_counter() < end:
                action()
                done += 1
        except Exception as error:  # one caller's end must not be taken for slowness
            failures.append(error)
        counts.append(done)

    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Refused(f"{len(failures)} of {callers} callers failed: {failures[0]}")
    return sum(counts) / (time.perf_counter() - began)


def at_once(actions):
    """Milliseconds of each, all begun together, and what failed."""
    samples, failures, start = [], [], threading.Barrier(len(actions))

    def work(action):
        start.wait()
        began = time.perf_counter()
        try:
            action()
            samples.append((time.perf_counter() - began) * 1000)
        except Exception as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return samples, failures


async def open_streams(url, request, count, settled, seconds):
    """Holds so many streams open and returns the delays, in milliseconds, of the lines `@{time}@` that came within
    `seconds` once all had begun; calls `settled` when they have."""
    host, port = address(url)
    delays, begun, is_counting = [], [], asyncio.Event()

    async def read():
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request)
            is_first = True
            while line := await reader.readline():
                now = time.time()
                parts = line.split(b"@")
                if len(parts) < 3:
                    if line.startswith(b'{"event":"error"') or b" 4" in line[8:11] or b" 5" in line[8:11]:
                        raise Refused(line.decode())
                    continue
                if is_first:
                    begun.append(1)
                    is_first = False
                if is_counting.is_set():
                    delays.append((now - float(parts[1])) * 1000)
        finally:
            writer.close()

    tasks = []
    try:
        for _ in range(count):
            tasks.append(asyncio.create_task(read()))
            while len(tasks) - len(begun) > 32:  # a burst of starts is another measurement
                await next_or_raise(tasks)
        while len(begun) < count:
            await next_or_raise(tasks)
        settled()
        is_counting.set()
        await asyncio.sleep(seconds)
        await next_or_raise(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return delays


async def next_or_raise(tasks):
    await asyncio.sleep(0.01)
    for task in tasks:
        if task.done():
            task.result()
            raise Refused("a stream ended before its time")
