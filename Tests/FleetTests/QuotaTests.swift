import Foundation
import JobQueue
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct QuotaTests {
        /// The table of docs/ARCHITECTURE.md, written out a second time.
        static let table: [(tier: Tier, vcpus: Int, memoryMb: Int, diskMb: Int, idleMinutes: Int?, most: Int?)] = [
            (.free, 2, 4 << 10, 10 << 10, 60, 1), (.pro, 4, 8 << 10, 50 << 10, nil, 3),
            (.unlimited, 8, 16 << 10, 100 << 10, nil, nil),
        ]

        @Test(arguments: table) func aTierAllowsWhatTheTableSays(
            tier: Tier, vcpus: Int, memoryMb: Int, diskMb: Int, idleMinutes: Int?, most: Int?
        ) async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: tier)
                for number in 0..<(most ?? 5) {
                    let made = try await bench.create("box \(number)", for: caller)
                    #expect(made.vcpus == vcpus && made.memoryMb == memoryMb && made.diskMb == diskMb)
                    #expect(made.kind == .environment && made.state == .provisioning && made.expiresAt == nil)
                }
                if let most {
                    let error = await refusal { try await bench.create("one more", for: caller) }
                    #expect(error?.code == .quotaExceeded)
                    #expect(error?.message.contains("the quota is \(most) environments, \(most) in use") == true)
                    // The user's own VM is one of them.
                    let second = await refusal {
                        try await bench.fleet.environments.createUserVM(
                            for: caller, requestID: nil, provider: "local")
                    }
                    #expect(second?.code == .quotaExceeded)
                }
                let quota = try await bench.fleet.quotas.limits(of: caller.userID)
                #expect(quota.environments == most && quota.runningEnvironments == most && quota.runtimeHours == nil)
                #expect(quota.vcpus == most.map { $0 * vcpus } && quota.memoryMb == most.map { $0 * memoryMb })
                #expect(quota.diskMb == most.map { $0 * diskMb })
                #expect(tier.idleStop == idleMinutes.map { .seconds(60 * $0) })
            }
        }

        @Test func twoHundredAtOnceGetWhatTheQuotaAllows() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: .pro)
                let servers = [bench.fleet, try bench.another()]
                let made = try await withThrowingTaskGroup(of: Environment?.self) { group in
                    for number in 0..<200 {
                        group.addTask {
                            do {
                                return try await servers[number % 2].environments.create(
                                    EnvironmentRequest(name: "box \(number)", provider: "local"), for: caller,
                                    requestID: "r\(number)")
                            } catch let error as ServiceError where error.code == .quotaExceeded {
                                return nil
                            }
                        }
                    }
                    return try await group.reduce(into: [Environment]()) { if let one = $1 { $0.append(one) } }
                }
                #expect(Set(made.map(\.id)).count == 3)
                #expect(try await bench.fleet.environments.list(owner: caller.userID).count == 3)
                #expect(try await bench.fleet.quotas.usage(of: caller.userID).environments == 3)
                #expect(try await bench.fleet.provisionQueue.counts()[.waiting] == 3)
                var filter = AuditFilter()
                filter.user = caller.userID
                filter.errorCode = "quota_exceeded"
                #expect(try await bench.fleet.audit.search(filter, limit: 500).count == 197)
            }
        }

        /// Else every line of the audit log about the user would wait, and a worker's move deadlock with a start.
        @Test func whoCountsHoldsNobodyUpWhoOnlyNamesTheUser() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.create(for: caller)
                try await bench.pool.withTransaction { connection in
                    _ = try await QuotaStore.ledger(of: caller.userID, on: connection, locking: true)
                    // Beside the transaction: were they held up, it would be until their statements time out.
                    try await bench.fleet.audit.record("test", actor: .system("test"), user: caller.userID)
                    try await bench.move(vm, .running)
                }
            }
        }

        @Test func whatIsDestroyedMakesRoom() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let first = try await bench.create(for: caller)
                try await bench.move(first, .running, .destroying)
                #expect(await refusal { try await bench.create(for: caller) }?.code == .quotaExceeded, "it still is")
                try await bench.move(first, .destroyed)
                try await bench.create(for: caller)
            }
        }

        @Test func theTierAnAdminGivesIsSeenByTheNextCall() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()  // whose token still says `free`
                let first = try await bench.create(for: caller)
                #expect(await refusal { try await bench.create(for: caller) }?.code == .quotaExceeded)
                try await bench.fleet.users.setTier(.pro, of: caller.userID, by: .system("test"))
                let second = try await bench.create(for: caller)
                #expect(second.tier == .pro && second.vcpus == 4 && second.diskMb == 51_200)
                #expect(try await bench.fleet.environments.find(first.id)?.vcpus == 2, "what is made keeps its size")
                try await bench.create(for: caller)
                #expect(await refusal { try await bench.create(for: caller) }?.code == .quotaExceeded)
                try await bench.fleet.users.setTier(.free, of: caller.userID, by: .system("test"))
                let error = await refusal { try await bench.create(for: caller) }
                #expect(error?.message.contains("the quota is 1 environments, 3 in use") == true)
            }
        }

        @Test func aSizeIsAskedForUpToTheTiers() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let fields: [(WritableKeyPath<EnvironmentRequest, Int?>, Int, String)] = [
                    (\.vcpus, 2, "vcpus"), (\.memoryMb, 4_096, "memoryMb"), (\.diskMb, 10_240, "diskMb"),
                ]
                for (field, most, name) in fields {
                    let above = await refusal {
                        try await bench.create(for: caller) { $0[keyPath: field] = most + 1 }
                    }
                    #expect(above?.code == .limitExceeded && above?.message.contains("'\(name)'") == true)
                    for value in [0, -1] {
                        let below = await refusal { try await bench.create(for: caller) { $0[keyPath: field] = value } }
                        #expect(below?.code == .invalidRequest)
                    }
                }
                let made = try await bench.create(for: caller) {
                    $0.vcpus = 1
                    $0.memoryMb = 512
                    $0.diskMb = 1_024
                }
                #expect(made.vcpus == 1 && made.memoryMb == 512 && made.diskMb == 1_024)
            }
        }

        static let overrides: [(QuotaOverrides, allowed: Int, measure: String)] = [
            (QuotaOverrides(environments: 2), 2, "environments"), (QuotaOverrides(environments: 0), 0, "environments"),
            (QuotaOverrides(environments: 9, vcpus: 9), 4, "vCPUs"),
            (QuotaOverrides(environments: 9, memoryMb: 3 * 4_096), 3, "MB of memory"),
            (QuotaOverrides(environments: 9, diskMb: 10_240), 1, "MB of disk"),
            (QuotaOverrides(environments: 9, runningEnvironments: 2), 2, "running environments"),
            (QuotaOverrides(environments: 9, runtimeHours: 0), 0, "hours of runtime"),
        ]

        @Test(arguments: overrides) func anAdminsFigureStandsInPlaceOfTheTiers(
            overrides: QuotaOverrides, allowed: Int, measure: String
        ) async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let quotas = bench.fleet.quotas
                try await quotas.set(overrides, of: caller.userID, by: .system("test"))
                #expect(try await quotas.overrides(of: caller.userID) == overrides)
                for _ in 0..<allowed { try await bench.create(for: caller) }
                let error = await refusal { try await bench.create(for: caller) }
                #expect(error?.code == .quotaExceeded && error?.message.contains(measure) == true)
                let usage = try await quotas.usage(of: caller.userID)
                #expect(usage.environments == allowed && usage.runningEnvironments == allowed)
                #expect(usage.vcpus == 2 * allowed && usage.memoryMb == 4_096 * allowed)
                #expect(usage.diskMb == 10_240 * allowed)
                let back = try await quotas.set(QuotaOverrides(), of: caller.userID, by: .system("test"))
                #expect(back == Quota(tier: .free))
                let lines = try await bench.fleet.audit.list(user: caller.userID).filter { $0.action == "quota.set" }
                #expect(lines.count == 2)
            }
        }

        @Test func theNetworkIsTheTiersUnlessAnAdminSaysOtherwiseAndEnvironmentsFollow() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let (fleet, user) = (bench.fleet, caller.userID)
                let environment = try await bench.create(for: caller)
                func network() async throws -> NetworkPolicy? {
                    let found = try #require(try await fleet.environments.find(environment.id))
                    #expect(try await fleet.quotas.limits(of: user).network == found.networkPolicy)
                    return found.networkPolicy
                }
                #expect(Tier.allCases.map(\.network) == [.isolated, .egress, .egress])
                #expect(try await network() == .isolated)
                try await fleet.users.setTier(.pro, of: user, by: .system("test"))
                #expect(try await network() == .egress)
                try await fleet.quotas.set(QuotaOverrides(network: .isolated), of: user, by: .system("test"))
                #expect(try await network() == .isolated)
                try await fleet.users.setTier(.unlimited, of: user, by: .system("test"))
                #expect(try await network() == .isolated)
                #expect(try await bench.create(for: caller).networkPolicy == .isolated)
                try await fleet.quotas.set(QuotaOverrides(), of: user, by: .system("test"))
                #expect(try await network() == .egress)
                #expect(try await bench.create(for: caller).networkPolicy == .egress)
                try await fleet.users.setTier(.free, of: user, by: .system("test"))
                #expect(try await network() == .isolated)
                try await fleet.quotas.set(QuotaOverrides(network: .egress), of: user, by: .system("test"))
                #expect(try await network() == .egress)
                let other = try await bench.create(for: bench.caller())
                #expect(other.networkPolicy == .isolated)
                let lines = try await fleet.audit.list(user: user).filter { $0.action == "quota.set" }
                #expect(lines.compactMap { $0.detail["network"] }.sorted() == ["egress", "none"])
            }
        }

        @Test func onlySoManyRunAtATime() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: .pro)
                let actor = AuditActor(caller)
                let environments = bench.fleet.environments
                try await bench.fleet.quotas.set(
                    QuotaOverrides(runningEnvironments: 1), of: caller.userID, by: .system("test"))
                var stopped: [Environment] = []
                for _ in 0..<3 {
                    stopped.append(
                        try await bench.move(try await bench.create(for: caller), .running, .stopping, .stopped))
                }
                // Of three at once one is started.
                let started = await withTaskGroup(of: Bool.self) { group in
                    for environment in stopped {
                        group.addTask { (try? await environments.requestStart(environment.id, actor: actor)) != nil }
                    }
                    return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
                #expect(started == 1)
                let now = try await environments.list(owner: caller.userID)
                let awake = try #require(now.first { $0.state == .starting })
                let other = try #require(now.first { $0.state == .stopped })
                let error = await refusal { try await environments.requestStart(other.id, actor: actor) }
                #expect(error?.code == .quotaExceeded && error?.message.contains("running environments") == true)
                #expect(try await environments.requestStart(awake.id, actor: actor) == awake, "it is counted already")
                // A failed one counts no more, and is counted when it is recovered.
                try await bench.move(awake, .error)
                try await environments.requestStart(other.id, actor: actor)
                try await bench.pool.execute(
                    "UPDATE dev_environments SET provider_instance_id = 'vm' WHERE id = \(awake.id)")
                let second = await refusal { try await environments.recover(awake.id, actor: actor) }
                #expect(second?.code == .quotaExceeded)
                // Until it is known to have stopped it runs.
                try await bench.move(other, .running, .stopping)
                #expect(await refusal { try await environments.recover(awake.id, actor: actor) } != nil)
                try await bench.move(other, .stopped)
                #expect(try await environments.recover(awake.id, actor: actor).state == .starting)
            }
        }

        @Test func aSuspendedUserMakesNothing() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                try await bench.fleet.users.setSuspended(true, caller.userID, by: .system("test"))
                #expect(await refusal { try await bench.create(for: caller) }?.code == .forbidden)
                #expect(await refusal { try await bench.fleet.quotas.limits(of: UserID()) }?.code == .userNotFound)
            }
        }
    }
}
