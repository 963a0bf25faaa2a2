"""What the pages are shown with: users, VMs, runs, jobs and hosts, with long names and with names, errors and logs that
would do something if a page took them for HTML or sent them to a terminal."""

import base64
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

# Would run as HTML, and end attributes and scripts.
MARKUP = "<img src=x onerror=window.owned=1>\"'</script>\u0301&amp;"
# With what terminals obey, where control characters may be at all: a title, the clipboard (OSC 52), colours, a link.
ESCAPES = "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[31m\x1b]8;;javascript:window.owned=1\x1b\\" + MARKUP + "\x1b[0m\u202e\x9b2J"
LONG = "a-rather-long-name-without-any-place-to-break-it-" * 2

HOSTILE_PROGRAM = r'''
import sys, time
title = "\x1b]0;owned\x07\x1b]2;owned\x1b\\"
clipboard = "\x1b]52;c;b3duZWQ=\x07"
html = "<script>window.owned=1</script><img src=x onerror='window.owned=1'><h1>big</h1>\n"
link = "\x1b]8;;javascript:window.owned=1\x1b\\click\x1b]8;;\x1b\\\n"
sys.stdout.write(title + clipboard + html + link)
sys.stdout.write("\x1b[31mred\x1b[0m plain \x1b[2J\x1b[H\x1b[?1049h\x1b[6n kept\n")
sys.stdout.write("\x1b]0;cut in the mid")
sys.stdout.flush(); time.sleep(0.3)
sys.stdout.write("dle\x07after\n")
sys.stdout.write("left \u202eright\u202c \x1bPdcs\x1b\\ \x9b31m end\n10%\r100%\n")
sys.stderr.write("\x1b[32mgreen error\x1b[0m <script>window.owned=1</script>\n")
'''


def public_key(comment=""):
    """A line of a `.pub` file whose private half nobody has, and its fingerprint as `ssh-keygen -l` would show it."""
    string = lambda part: len(part).to_bytes(4, "big") + part
    blob = string(b"ssh-ed25519") + string(os.urandom(32))
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".rstrip(), f"SHA256:{digest}"


class World:
    """What was made: `run` is the id of a run, `vm` the slug of an environment."""

    def __init__(self, site, run, environment, user):
        self.site, self.run, self.environment, self.user = site, run, environment, user
        self.vm = environment["slug"]

    def path(self, page):
        return page.path.replace("{run}", self.run).replace("{vm}", self.vm)


def furnish(site, is_hostile=True):
    """Fills a server. What can be made by the API is; the errors and log lines that only a broken machine would have are
    put where the server keeps them."""
    made = time.time_ns() % 1_000_000
    name = f"{MARKUP}{made}" if is_hostile else "build"
    clear(site)
    site.call("POST", "/v1/vm/start")
    site.vm_until("running")
    programs = [
        ("python", "print('\\n'.join(str(n * n) for n in range(40)))"), ("bash", "exit 3"),
        ("c", "int main(void) { return missing; }"), ("python", HOSTILE_PROGRAM)]
    for language, code in programs:
        site.call("POST", "/v1/execute", {"language": language, "code": code}, accept="application/json")
    run = site.call("GET", "/v1/executions?limit=1")["executions"][0]["id"]
    size = {"vcpus": 1, "memoryMb": 1024, "diskMb": 1024}
    environment = site.call("POST", "/v1/environments", {
        "name": name, "durationHours": 2, "environmentVars": {"GREETING": "hello"}, **size})["environment"]
    long = site.call("POST", "/v1/environments", {"name": f"{LONG[:90]}{made}", **size})["environment"]
    for slug in (environment["slug"], long["slug"]):
        site.environment_until(slug, "running")
    owner = site.environment_until(slug, "running")["ownerId"]
    site.call("POST", f"/v1/environments/{environment['slug']}/stop")
    site.environment_until(environment["slug"], "stopped")
    user = site.call("POST", "/v1/admin/users", {"name": name, "email": f"{'long' * 12}{made}@example.org"})["user"]
    site.call("POST", f"/v1/admin/users/{user['id']}/tokens", {"name": name})
    suspended = site.call("POST", "/v1/admin/users", {"name": f"{LONG[:90]}{made}"})["user"]
    site.call("POST", f"/v1/admin/users/{suspended['id']}/suspend")
    site.call("POST", "/v1/admin/hosts", {
        "name": f"fc-{'very-long-' * 4}{made}", "address": "10.0.0.11", "vcpus": 32,
        "memoryMb": 131072, "diskMb": 2_000_000})
    for comment in (name, f"{LONG[:90]}{made}", "laptop"):
        site.call("POST", "/v1/ssh-keys", {"key": public_key(comment)[0]})
    fail(site, environment, owner, ESCAPES if is_hostile else "The home of this VM is gone: /var/lib/martlet/vms/mlt-1/home.img")
    samples(site)
    return World(site, run, environment, user)


def clear(site):
    """Takes away what is in the way of other scenarios: environments beside the VM, keys, hosts, the job that failed."""
    for each in site.call("GET", "/v1/environments?limit=200")["environments"]:
        if each["kind"] != "user_vm":
            site.call("DELETE", f"/v1/admin/vms/{each['slug']}?force=true")
            site.environment_until(each["slug"], "destroyed")
    for key in site.call("GET", "/v1/ssh-keys")["keys"]:
        site.call("DELETE", f"/v1/ssh-keys/{key['id']}")
    for host in site.call("GET", "/v1/admin/hosts?limit=500")["hosts"]:
        site.call("DELETE", f"/v1/admin/hosts/{host['id']}")
    redis(site, "DEL", "bull:vm-control:hostile", "bull:vm-control:hostile:logs")
    redis(site, "ZREM", "bull:vm-control:failed", "hostile")


def fail(site, environment, owner, text):
    """An environment that failed with a text, its job, and lines of its log."""
    sql(site, "UPDATE dev_environments SET state = 'error', generation = generation + 1, error_message = :'message' "
        "WHERE id = :'id'", message=text, id=environment["id"])
    now = time.time_ns() // 1_000_000
    data = json.dumps({"environmentId": environment["id"], "userId": owner, "generation": 1, "requestId": None})
    redis(site, "HSET", "bull:vm-control:hostile", "name", "start", "data", data, "opts", '{"attempts":2}', "timestamp", now,
          "delay", 0, "priority", 0, "attemptsMade", 2, "atm", 2, "ats", 2, "processedOn", now, "finishedOn", now, "failedReason", text,
          "stacktrace", json.dumps([text, "second\nline"]))
    redis(site, "RPUSH", "bull:vm-control:hostile:logs", text)
    redis(site, "ZADD", "bull:vm-control:failed", now, "hostile")
    line = json.dumps({"timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()), "message": text, "level": "error"})
    for key in (f"provision-logs:{owner}", f"environment-logs:{environment['id']}"):
        redis(site, "RPUSH", key, line)
        redis(site, "PUBLISH", key, line)


def samples(site):
    """A day of figures for the charts."""
    sql(site, """
        INSERT INTO fleet_samples
        SELECT at, 6 + 4 * sin(n / 90.0), 14 - 3 * sin(n / 90.0), n % 17 / 14, n % 400 / 370, 20 + 18 * sin(n / 60.0), n % 50 / 48,
            n % 9 / 6, 220 + n % 80, n % 23 / 18, n % 5 / 3, 1
        FROM (SELECT n, date_trunc('minute', now()) - n * interval '1 minute' AS at FROM generate_series(1, 1440) AS n) AS minutes
        ON CONFLICT DO NOTHING""")


def sql(site, statement, **values):
    ready = site.ready()
    command = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", ready["databaseURL"]]
    for name, value in values.items():
        command += ["--set", f"{name}={value}"]
    subprocess.run(command, input=statement.encode(), check=True, timeout=60)


def redis(site, *command):
    socket = site.ready()["redisURL"].removeprefix("unix://")
    subprocess.run(["redis-cli", "-s", socket, *map(str, command)], check=True, timeout=60, stdout=subprocess.DEVNULL)
