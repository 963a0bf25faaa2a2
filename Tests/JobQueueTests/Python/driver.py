"""A BullMQ client that does as it is told: it takes orders from a Redis list and answers on another.

    driver.py redis-url mailbox

An order is a JSON object `{"number": 1, "do": "add", …}` on the list `{mailbox}:orders`; its answer
`{"value": …}` or `{"error": "…"}` goes to `{mailbox}:answer:{number}`. What workers do with a job is said by the job's
data (see `process`), and each start is told on the list `{mailbox}:starts`.
"""

import asyncio
import json
import sys
import time

import redis.asyncio
from bullmq import Job, Queue, QueueEvents, UnrecoverableError, Worker


class Driver:
    def __init__(self, url, mailbox):
        self.url, self.mailbox = url, mailbox
        self.redis = redis.asyncio.from_url(url, decode_responses=True)
        self.queues, self.workers, self.listeners = {}, [], []

    def queue(self, name):
        if name not in self.queues:
            self.queues[name] = Queue(name, {"connection": self.url})
        return self.queues[name]

    async def job(self, order):
        job = await Job.fromId(self.queue(order["queue"]), order["id"])
        if job is None:
            raise LookupError(f"no job {order['id']}")
        return job

    # What can be ordered.

    async def add(self, order):
        job = await self.queue(order["queue"]).add(order["name"], order.get("data", {}), order.get("opts", {}))
        return job.id

    async def add_many(self, order):
        """Adds `jobs`, fifty at a time, each by a call of its own; returns the seconds it took."""
        queue, jobs = self.queue(order["queue"]), order["jobs"]
        began = time.perf_counter()
        for start in range(0, len(jobs), 50):
            await asyncio.gather(*(
                queue.add(job["name"], job.get("data", {}), job.get("opts", {})) for job in jobs[start:start + 50]))
        return time.perf_counter() - began

    async def call_queue(self, order):
        result = getattr(self.queue(order["queue"]), order["method"])(*order.get("arguments", []))
        return await result if asyncio.iscoroutine(result) or asyncio.isfuture(result) else result

    async def call_job(self, order):
        await getattr(await self.job(order), order["method"])(*order.get("arguments", []))

    async def show(self, order):
        job = await self.job(order)
        return {
            "name": job.name, "data": job.data, "opts": job.opts, "delay": job.delay, "priority": job.priority,
            "attemptsMade": job.attemptsMade, "attemptsStarted": job.attemptsStarted,
            "stalledCounter": job.stalledCounter, "returnvalue": job.returnvalue, "failedReason": job.failedReason,
            "stacktrace": job.stacktrace, "progress": job.progress, "state": await job.getState(),
        }

    async def work(self, order):
        options = {"connection": self.url, "drainDelay": 1, **order.get("options", {})}
        self.workers.append(Worker(order["queue"], self.process, options))

    async def rest(self, order):
        workers, self.workers, listeners, self.listeners = self.workers, [], self.listeners, []
        for worker in workers:
            await worker.close(force=True)
        for events, _ in listeners:
            await events.close()

    async def listen(self, order):
        events = QueueEvents(order["queue"], {"connection": self.url})
        heard = []
        for name in order["names"]:
            events.on(name, lambda fields, entry, name=name: heard.append([name, fields]))
        self.listeners.append((events, heard))

    async def heard(self, order):
        return self.listeners[-1][1]

    async def process(self, job, token):
        """Does what the job's data say: `hang` for ever until it was lost so many times, `sleep` so many ms, `log` and report `progress` row by row, `fail` as many
        attempts, with `final` for good; then returns `return`."""
        start = {"queue": job.queue.name, "id": job.id, "name": job.name, "at": round(time.time() * 1000)}
        await self.redis.rpush(f"{self.mailbox}:starts", json.dumps(start))
        task = job.data if isinstance(job.data, dict) else {}
        if job.stalledCounter < task.get("hang", 0):
            await asyncio.sleep(3600)
        if task.get("sleep"):
            await asyncio.sleep(task["sleep"] / 1000)
        for row in task.get("log", []):
            await job.log(row)
        for step in task.get("progress", []):
            await job.updateProgress(step)
        if job.attemptsMade < task.get("fail", 0):
            raise (UnrecoverableError if task.get("final") else ValueError)("as told")
        return task.get("return")

    async def obey(self, order):
        try:
            answer = {"value": await getattr(self, order["do"])(order)}
        except Exception as error:  # of the client under test: the one who gave the order judges it
            answer = {"error": f"{type(error).__name__}: {error}"}
        key = f"{self.mailbox}:answer:{order['number']}"
        await self.redis.rpush(key, json.dumps(answer))
        await self.redis.expire(key, 600)

    async def run(self):
        while True:
            taken = await self.redis.blpop(f"{self.mailbox}:orders", timeout=3)
            if taken:
                await self.obey(json.loads(taken[1]))


asyncio.run(Driver(*sys.argv[1:]).run())
