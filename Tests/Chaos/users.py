"""The users: each does at random what a user may, and keeps what it was told."""

import hashlib
import http.client
import json
import random
import socket
import threading
import time
import uuid


class Told:
    """One request and what came of it."""

    def __init__(self, request, operation, slug):
        self.request, self.operation, self.slug = request, operation, slug
        self.status = None  # of HTTP; None: no answer came
        self.code = None  # of the error
        self.ending = None  # of an execution: exit, error or cut
        self.execution = None
        self.fault = None  # what must never be


class User(threading.Thread):
    """Creates, starts, stops, executes and destroys until told to stop."""

    def __init__(self, number, tier, limit, stage, seed):
        super().__init__(name=f"user-{number:02}", daemon=True)
        self.id, self.tier, self.limit = str(uuid.UUID(int=random.Random(seed * 1000 + number).getrandbits(128))), tier, limit
        self.token = "mlt_" + hashlib.sha256(f"{seed}-{number}".encode()).hexdigest()[:43]
        self.stage, self.random = stage, random.Random(seed * 7919 + number)
        self.told, self.slugs, self.ended = [], [], threading.Event()
        self.requests = 0

    def sql(self):
        """Makes the account: before the first admin there is nobody to ask for one."""
        token = hashlib.sha256(self.token.encode()).hexdigest()
        return (
            f"INSERT INTO users (id, name, role, tier) VALUES ('{self.id}', '{self.name}', 'user', '{self.tier}');"
            "INSERT INTO api_tokens (id, user_id, name, token_hash, scopes)"
            f" VALUES (gen_random_uuid(), '{self.id}', 'chaos', '\\x{token}', ARRAY['user']);")

    def run(self):
        while not self.ended.is_set():
            try:
                self.act()
            except (OSError, http.client.HTTPException, ValueError):
                pass  # noted by whoever made the request
            self.ended.wait(self.random.uniform(0, 0.5))

    def act(self):
        if not self.slugs or (len(self.slugs) <= self.limit and self.random.random() < 0.12):
            return self.create()
        slug = self.random.choice(self.slugs)
        operation = self.random.choices(
            ["execute", "stop", "start", "destroy", "recover"], [50, 18, 18, 9, 5])[0]
        if operation == "execute":
            return self.execute(slug)
        if operation == "destroy":
            told, _ = self.call(operation, "DELETE", f"/v1/environments/{slug}", slug)
            if told.status in (202, 404):
                self.slugs.remove(slug)
        else:
            self.call(operation, "POST", f"/v1/environments/{slug}/{operation}", slug)

    def create(self):
        body = {"name": f"chaos {self.requests}", "provider": self.random.choice(self.stage.providers)}
        key = str(uuid.UUID(int=self.random.getrandbits(128)))
        for _ in range(3):  # the same key: however often it is sent, it makes one
            told, answer = self.call("create", "POST", "/v1/environments", None, body, {"Idempotency-Key": key})
            if told.status is not None and told.status < 500 and told.code != "idempotency_conflict":
                break
            time.sleep(0.3)
        if told.status in (201, 202):
            told.slug = answer["environment"]["slug"]
            self.slugs.append(told.slug)

    def connection(self, timeout):
        for gateway in self.random.sample(self.stage.gateways, len(self.stage.gateways)):
            if not gateway.url:
                continue
            host, port = gateway.url.removeprefix("http://").rsplit(":", 1)
            connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
            try:
                connection.connect()
            except OSError:
                continue
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        raise OSError("no gateway listens")

    def begin(self, operation, slug, headers=None):
        self.requests += 1
        told = Told(f"{self.name}-{self.requests}", operation, slug)
        self.told.append(told)
        return told, {
            "Authorization": f"Bearer {self.token}", "Content-Type": "application/json",
            "X-Request-Id": told.request, **(headers or {})}

    def call(self, operation, method, path, slug, body=None, headers=None):
        told, headers = self.begin(operation, slug, headers)
        try:
            connection = self.connection(60)
        except OSError:
            return told, None
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            data = response.read()
            answer = json.loads(data) if data else None
            told.status = response.status
        except (OSError, http.client.HTTPException, ValueError):
            return told, None
        finally:
            connection.close()
        told.code = (answer or {}).get("error", {}).get("code") if told.status >= 400 else None
        if told.status == 500:
            told.fault = f"{method} {path}: 500 {answer}"
        return told, answer

    def execute(self, slug):
        told, headers = self.begin("execute", slug, {"Accept": "application/x-ndjson"})
        word = f"{told.request} ☂ {self.random.getrandbits(64):x}"
        code = f"import time\nprint({word!r}, flush=True)\ntime.sleep({self.random.choice([0, 0, 0.05, 1])})\nprint('end')"
        connection = self.connection(150)
        output, last = "", None
        try:
            connection.request(
                "POST", f"/v1/environments/{slug}/execute",
                json.dumps({"language": "python", "code": code, "stdin": ""}), headers)
            response = connection.getresponse()
            told.status, told.execution = response.status, response.headers.get("Martlet-Execution-Id")
            if told.status != 200:
                told.code = json.loads(response.read()).get("error", {}).get("code")
                return
            for line in response:
                if last and last["event"] in ("exit", "error"):
                    told.fault = f"{told.request}: '{last['event']}' was not the last event"
                last = json.loads(line)
                if last["event"] == "stdout":
                    output += last["data"]
        except (OSError, http.client.HTTPException, ValueError):
            pass
        finally:
            connection.close()
        told.ending = last["event"] if last and last["event"] in ("exit", "error") else "cut"
        if told.ending == "error":
            told.code = last["code"]
        if told.ending == "exit" and last["exitCode"] == 0 and output != f"{word}\nend\n":
            told.fault = f"{told.request}: exit 0 with the output {output!r}"
