import EventLoop
import Execution
import Fleet
import Foundation
import JobQueue
import Providers
import Redis

// What the servers hold, and the VMs.
extension Doctor {
    /// A queue is alive if a worker is connected, and consumes if no job waits long.
    func checkQueues(_ fleet: Fleet) async -> [Finding] {
        var findings: [Finding] = []
        for queue in [fleet.provisionQueue, fleet.controlQueue] {
            findings += await check("queue \(queue.name)", hint: "See Redis above.") {
                try await examine(queue)
            }
        }
        return findings
    }

    private func compare(
        _ environments: [Fleet::Environment], _ provider: any VMProvider, _ fleet: Fleet
    ) async throws -> [Finding] {
        var findings: [Finding] = []
        let own = environments.filter { $0.provider == provider.kind.rawValue }
        for environment in own.prefix(50) where !environment.state.isTransitional {
            findings += await examine(environment, provider, fleet)
        }
        let known = Set(own.compactMap(\.providerInstanceID))
        let expected = own.filter { $0.state.isTransitional || $0.providerInstanceID == nil }.map(\.id.description)
        for instance in try await provider.list() where !known.contains(instance.id.rawValue) {
            if expected.contains(where: instance.name.contains) { continue }  // being made, or half made
            findings.append(
                .warn(
                    "VM \(instance.name)", "exists at provider '\(provider.kind.rawValue)', but no row knows it",
                    hint: "A worker removes it if its environment was destroyed; else it is for you to remove."))
        }
        if own.count > 50 {
            findings.append(
                .warn("VMs", "only 50 of \(own.count) were looked at", hint: "Look at the rest one by one."))
        }
        return findings
    }

    private func examine(_ queue: JobQueue) async throws -> [Finding] {
        let name = "queue \(queue.name)"
        let workers = try await queue.workers()
        let counts = try await queue.counts()
        let waiting = counts[.waiting, default: 0] + counts[.prioritized, default: 0]
        let active = counts[.active, default: 0]
        var findings: [Finding] = []
        if workers.isEmpty {
            findings.append(
                .fail(name, "no worker is connected", hint: "Start one: 'martlet up' or 'martlet worker'."))
        } else if counts[.paused, default: 0] > 0 {
            findings.append(.warn(name, "is paused with jobs in it", hint: "Resume it where it was paused."))
        } else {
            findings.append(.ok(name, "\(workers.count) connected, \(active) jobs running, \(waiting) waiting"))
        }
        if let oldest = try await queue.jobs(in: .waiting, range: 0..<100).map(\.timestamp).min() {
            let age = Date.now.timeIntervalSince(oldest)
            if age > 30 {
                findings.append(
                    .fail(
                        name, "a job has waited for \(Int(age)) s",
                        hint: workers.isEmpty
                            ? "Start a worker." : "Workers are busy or stuck: see their log, add one."))
            }
        }
        let failed = counts[.failed, default: 0]
        if failed > 0 {
            let newest = try await queue.jobs(in: .failed, range: 0..<1).first
            let reason = newest.map { "; the newest, \($0.id): \(($0.failedReason ?? "?").prefix(200))" } ?? ""
            findings.append(
                .warn(
                    name, "\(failed) jobs have failed for good\(reason)",
                    hint: "Mend the reason, then 'martlet vm start' of the VM's owner tries again."))
        }
        return findings
    }

    func checkOutbox(_ fleet: Fleet) async -> [Finding] {
        await check("outbox", hint: "See PostgreSQL above.") {
            let (count, oldest) = try await fleet.outbox.backlog()
            return oldest > 30
                ? [
                    .fail(
                        "outbox", "\(count) jobs have not reached their queue, the oldest for \(Int(oldest)) s",
                        hint: "A worker relays them: is one running?")
                ] : [.ok("outbox", "no job is left behind")]
        }
    }

    // MARK: VMs

    /// Compares rows with the provider, both ways, and asks the runners of VMs that run. At most 50 VMs.
    func checkEnvironments(_ fleet: Fleet) async -> [Finding] {
        let hint = "See PostgreSQL and provider above."
        return await check("VMs", hint: hint, within: .seconds(120)) {
            let living = Set(EnvironmentState.allCases).subtracting([.destroyed])
            let environments = try await fleet.environments.list(states: living, limit: 500)
            let stuck = try await fleet.environments.list(
                states: living.filter(\.isTransitional), unchangedFor: .seconds(300), limit: 50)
            var findings = stuck.map { environment in
                Finding.fail(
                    "VM \(environment.slug)", "has been '\(environment.state.rawValue)' for more than 5 minutes",
                    hint: "See 'martlet vm logs' and the queues above.")
            }
            for provider in try await providers() {
                findings += try await compare(environments, provider, fleet)
            }
            if findings.isEmpty { findings.append(.ok("VMs", "none yet")) }
            return findings
        }
    }

    private func examine(_ environment: Fleet::Environment, _ provider: any VMProvider, _ fleet: Fleet) async
        -> [Finding]
    {
        let name = "VM \(environment.slug)"
        return await check(name, hint: "See the log of 'martlet up'.", within: .seconds(30)) {
            if environment.state == .error {
                return [
                    .fail(
                        name, "failed: \(environment.errorMessage ?? "no reason is noted")",
                        hint: "'martlet vm start' of its owner tries again, 'martlet vm destroy' gives it up.")
                ]
            }
            guard let instance = environment.providerInstanceID else {
                return [.fail(name, "has no VM at the provider", hint: "Destroy it: 'martlet vm destroy'.")]
            }
            let status = try await provider.status(VMInstance.ID(rawValue: instance))
            let agrees =
                environment.state == .running ? status == .running : environment.state == .stopped && status == .stopped
            guard agrees else {
                return [
                    .fail(
                        name,
                        "is '\(environment.state.rawValue)' by the database, '\(status.rawValue)' by the provider",
                        hint: "The next run in it has a worker look and mend it.")
                ]
            }
            guard environment.state == .running else { return [.ok(name, "is stopped, as the database says")] }
            let startedAt = ContinuousClock.now
            let answer = try await RunnerProbe(fleet: fleet, logger: logger).ping(environment)
            return [
                .ok(
                    name,
                    "runs; SSH connects and runner \(answer.version) answers, in \(milliseconds(since: startedAt))")
            ]
        }
    }

    /// A log without a time to live would stay for ever.
    func checkProvisionLogs(_ fleet: Fleet) async -> [Finding] {
        await check("provision logs", hint: "See Redis above.") {
            var cursor = "0"
            var count = 0
            repeat {
                let reply = try await fleet.redis.command(
                    "SCAN", RedisArgument(cursor), "MATCH", "provision-logs:*", "COUNT", 500)
                guard let parts = reply.elements, parts.count == 2, let next = parts[0].text else { break }
                cursor = next
                for key in parts[1].elements ?? [] {
                    guard let text = key.text else { continue }
                    let seconds = try await fleet.redis.command("TTL", RedisArgument(text)).number ?? -2
                    count += seconds == -2 ? 0 : 1  // gone meanwhile
                    if seconds == -1 || seconds > 3_600 {
                        return [
                            .fail(
                                "provision logs", "'\(text)' is kept for \(seconds == -1 ? "ever" : "\(seconds) s")",
                                hint: "redis-cli EXPIRE '\(text)' 3600; something else than a worker wrote it.")
                        ]
                    }
                }
            } while cursor != "0" && count < 10_000
            return [.ok("provision logs", "\(count), each kept for an hour at most")]
        }
    }
}
