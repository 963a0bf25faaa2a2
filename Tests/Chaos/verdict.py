"""The verdict: what must hold once everything is up again and nobody asks for anything."""

import collections
import pathlib
import time

TRANSITIONAL = ("requested", "provisioning", "starting", "stopping", "destroying")


def settle(stage, seconds):
    """Waits until no environment is on its way, no execution unrecorded and every row true to its VM: an engine that was
    killed ends its containers, and a worker's round of comparisons sees it. Returns what still is not at rest."""
    deadline = time.monotonic() + seconds
    while True:
        names = ", ".join(f"'{name}'" for name in TRANSITIONAL)
        left = stage.postgres.rows(
            "SELECT slug, state, provider, generation, now() - state_changed_at AS since"
            f" FROM dev_environments WHERE state IN ({names})")
        outbox = int(stage.postgres.psql("SELECT count(*) FROM job_outbox"))
        running = int(stage.postgres.psql("SELECT count(*) FROM environment_executions WHERE state = 'running'"))
        begun = int(stage.redis.ask("HLEN", "martlet:begun"))
        if not left and not outbox and not running and not begun and not machines_agree(stage, environments(stage)):
            return []
        if time.monotonic() > deadline:
            return [f"{row['slug']} is '{row['state']}' since {row['since']}" for row in left] + (
                [f"{outbox} jobs in the outbox"] if outbox else [])
        time.sleep(0.5)


def environments(stage):
    return stage.postgres.rows(
        "SELECT id, slug, user_id, state, generation, provider, provider_instance_id, error_message"
        " FROM dev_environments")


def local_machines(stage):
    """The VMs there are: whether each runs."""
    state = pathlib.Path(stage.directory) / "data" / "vms"
    machines = {}
    for record in (spec.parent for spec in state.glob("mlt-*/spec.json")):
        text = (record / "init.pid").read_text().strip() if (record / "init.pid").exists() else ""
        pid = text.split()[0] if text else ""
        machines[record.name] = bool(pid) and pathlib.Path(f"/proc/{pid}").exists()
    return machines


def docker_machines(stage):
    listing = stage.docker.run(
        "ps", "-a", "--filter", "label=gh.gg/managed=true", "--format", '{{.Label "gh.gg/vm-name"}} {{.State}}')
    return {name: state == "running" for name, state in (line.split() for line in listing.splitlines())}


def machines(stage, provider):
    return local_machines(stage) if provider == "local" else docker_machines(stage)


def verify(stage, users, stuck):
    """Every broken promise, in words. Empty: all kept."""
    faults = [f"stuck: {words}" for words in stuck]
    rows = environments(stage)
    faults += machines_agree(stage, rows)
    faults += audit_complete(stage, rows)
    faults += nothing_lost(stage, users, {row["slug"]: row for row in rows})
    faults += quotas_real(stage, users, rows)
    faults += history_true(stage, users)
    for user in users:
        faults += [told.fault for told in user.told if told.fault]
    return faults


def machines_agree(stage, environments):
    faults = []
    rows = {"mlt-" + row["id"]: row for row in environments}
    for provider in stage.providers:
        there = machines(stage, provider)
        for name, runs in there.items():
            row = rows.get(name)
            if row is None or row["state"] == "destroyed":
                faults.append(f"{provider}: VM {name} is there, its row {'is not' if row is None else 'is destroyed'}")
            elif runs != (row["state"] == "running") and row["state"] != "error":
                faults.append(f"{provider}: VM {name} {'runs' if runs else 'does not run'}, its row says {row['state']}")
        for name, row in rows.items():
            if row["provider"] == provider and row["state"] in ("running", "stopped") and name not in there:
                faults.append(f"{provider}: {row['slug']} is '{row['state']}' and its VM {name} is gone")
    return faults


def audit_complete(stage, environments):
    """Every generation of every environment has one line, each going on where the one before ended."""
    lines = collections.defaultdict(list)
    for line in stage.postgres.rows(
            "SELECT environment_id, from_state, to_state, generation FROM environment_audit_log"
            " WHERE to_state IS NOT NULL AND error_code IS DISTINCT FROM 'illegal_transition'"
            " AND generation IS NOT NULL ORDER BY environment_id, generation"):
        lines[line["environment_id"]].append(line)
    faults = []
    for row in environments:
        moves = lines[row["id"]]
        generations = [line["generation"] for line in moves]
        if generations != list(range(1, row["generation"] + 1)):
            faults.append(f"audit of {row['slug']}: at generation {row['generation']}, lines for {generations}")
        elif moves[-1]["to_state"] != row["state"]:
            faults.append(f"audit of {row['slug']} ends in {moves[-1]['to_state']}, the row says {row['state']}")
        for before, after in zip(moves, moves[1:]):
            if before["to_state"] != after["from_state"]:
                faults.append(f"audit of {row['slug']}: {before['to_state']}, then from {after['from_state']}")
    return faults


def nothing_lost(stage, users, by_slug):
    """What was accepted was done: nothing waits in a queue, what was to be destroyed is."""
    faults = []
    for queue in ("vm-provision", "vm-control"):
        for kind, command in (("wait", "LLEN"), ("active", "LLEN"), ("delayed", "ZCARD"), ("prioritized", "ZCARD")):
            count = stage.redis.ask(command, f"bull:{queue}:{kind}")
            if count != "0":
                faults.append(f"{count} jobs of {queue} are left in '{kind}'")
    for user in users:
        for told in user.told:
            row = by_slug.get(told.slug)
            if told.operation == "create" and told.status in (201, 202) and row is None:
                faults.append(f"{told.request}: created {told.slug}, of which there is no row")
            if told.operation == "destroy" and told.status == 202 and row["state"] not in ("destroyed", "error"):
                faults.append(f"{told.request}: {told.slug} was to be destroyed and is '{row['state']}'")
    return faults


def quotas_real(stage, users, environments):
    faults = []
    for user in users:
        living = [row for row in environments if row["user_id"] == user.id and row["state"] != "destroyed"]
        if len(living) > user.limit:
            faults.append(f"{user.name} ({user.tier}) has {len(living)} environments, may have {user.limit}")
        _, answer = user.call("quota", "GET", "/v1/quota", None)
        used = (answer or {}).get("quota", {}).get("used", {}).get("environments")
        if used != len(living):
            faults.append(f"{user.name}: the quota says {used} environments are in use, there are {len(living)}")
    return faults


def history_true(stage, users):
    """No execution is left running, and what a client saw end is recorded so."""
    faults = []
    states = {row["id"]: row["state"] for row in stage.postgres.rows("SELECT id, state FROM environment_executions")}
    running = [key for key, state in states.items() if state == "running"]
    if running:
        faults.append(f"{len(running)} executions are still 'running': {running[:3]}")
    for user in users:
        for told in user.told:
            if told.ending == "exit" and states.get(told.execution) in (None, "running"):
                faults.append(f"{told.request}: its client saw it end, the history says {states.get(told.execution)}")
    return faults
