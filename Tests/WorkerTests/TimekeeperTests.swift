import Fleet
import Foundation
import PostgreSQL
import Testing

@testable import Worker

extension Live {
    /// The clock is the test's: what the sweep takes for now is given.
    @Suite struct TimekeeperTests {
        /// One round of each sweep.
        func sweep(_ bench: Bench, now: Date? = nil) async throws {
            let time = Timekeeper(fleet: bench.fleet, actor: .worker("w"), logger: quiet)
            try await time.stopIdle(now: now)
            try await time.destroyExpired(now: now)
            try await time.stopOutOfHours(now: now)
            try await time.emptyHosts()
            try await time.settleHosts()
        }

        func minutes(_ count: Double) -> Date { Date.now.addingTimeInterval(count * 60) }

        @Test func aFreeVMStopsAfterAnHourWithoutUse() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                try await sweep(bench, now: minutes(59))
                #expect(try await bench.now(vm).state == .running)
                try await sweep(bench, now: minutes(60.1))
                #expect(try await bench.now(vm).state == .stopping)
                try await bench.run(try await bench.now(vm))
                #expect(try await bench.now(vm).state == .stopped)
                let lines = try await bench.fleet.audit.list(environment: vm.id)
                #expect(lines.contains { $0.action == "idle_stop" && $0.actor == .worker("w") })
            }
        }

        @Test(arguments: [Tier.pro, .unlimited])
        func aVMOfAPayingUserNeverStops(tier: Tier) async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                try await bench.fleet.users.setTier(tier, of: vm.userID, by: .system("test"))
                try await sweep(bench, now: minutes(60 * 24 * 365))
                #expect(try await bench.now(vm).state == .running)
            }
        }

        @Test func anExecutionKeepsItsVMAwake() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                let id = ExecutionID()
                try await bench.fleet.executions.begin(
                    ExecutionRecord(
                        id: id, userID: vm.userID, environmentID: vm.id, gatewayID: "g", requestID: nil,
                        language: "python", code: []))
                try await sweep(bench, now: minutes(600))
                #expect(try await bench.now(vm).state == .running)
                try await bench.fleet.executions.finish(
                    id, ExecutionOutcome(state: .exited), actor: .system("test"))
                try await sweep(bench, now: minutes(600))
                #expect(try await bench.now(vm).state == .stopping)
            }
        }

        @Test func anOpenTerminalKeepsItsVMAwake() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                try await bench.pool.execute(
                    "UPDATE dev_environments SET last_activity_at = now() - interval '61 minutes'")
                try await bench.fleet.sessions.withHold(on: vm.id, kind: "terminal") {
                    try await sweep(bench)
                    #expect(try await bench.now(vm).state == .running)
                }
            }
        }

        @Test func anExpiredEnvironmentIsDestroyed() async throws {
            try await withBench { bench in
                let caller = try await bench.caller()
                var request = EnvironmentRequest(name: "for a day", provider: "local")
                request.durationHours = 24
                let made = try await bench.fleet.environments.create(request, for: caller, requestID: nil)
                try await bench.run(made)
                try await sweep(bench, now: minutes(24 * 60 - 1))
                #expect(try await bench.now(made).state != .destroying)
                try await sweep(bench, now: minutes(24 * 60 + 1))
                // Idle for a day, it is being stopped; what is on its way somewhere is destroyed when it is there.
                if try await bench.now(made).state == .stopping {
                    try await bench.run(try await bench.now(made))
                    try await sweep(bench, now: minutes(24 * 60 + 1))
                }
                #expect(try await bench.now(made).state == .destroying)
                try await bench.run(try await bench.now(made))
                #expect(try await bench.now(made).state == .destroyed)
                #expect(await bench.provider.specs.isEmpty)
            }
        }

        /// Nothing but its end stops it.
        @Test(arguments: [Tier.pro, .unlimited])
        func anExpiredEnvironmentOfAPayingUserIsDestroyedWhileItRuns(tier: Tier) async throws {
            try await withBench { bench in
                let caller = try await bench.caller()
                try await bench.fleet.users.setTier(tier, of: caller.userID, by: .system("test"))
                var request = EnvironmentRequest(name: "for two days", provider: "local")
                request.durationHours = 48
                let made = try await bench.fleet.environments.create(request, for: caller, requestID: nil)
                let forever = try await bench.fleet.environments.create(
                    EnvironmentRequest(name: "for ever", provider: "local"), for: caller, requestID: nil)
                for environment in [made, forever] { try await bench.run(environment) }
                try await sweep(bench, now: minutes(48 * 60 - 1))
                #expect(try await bench.now(made).state == .running)
                try await sweep(bench, now: minutes(48 * 60 + 1))
                #expect(try await bench.now(made).state == .destroying)
                try await bench.run(try await bench.now(made))
                #expect(try await bench.now(made).state == .destroyed)
                #expect(try await bench.now(forever).state == .running)
            }
        }

        /// Hundreds of users have a limit of hours; the one who has reached it is the last of them.
        @Test func hoursAreCountedOfEverybody() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                try await bench.pool.execute(
                    """
                    WITH others AS (
                        INSERT INTO users (id, name, role, tier)
                        SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'user ' || n, 'user', 'free'
                        FROM generate_series(1, 600) AS n RETURNING id),
                    limited AS (
                        INSERT INTO user_quotas (user_id, runtime_hours) SELECT id, 1000 FROM others)
                    INSERT INTO dev_environments (id, user_id, kind, slug, name, state, generation, tier, vcpus,
                        memory_mb, disk_mb, processes, network, provider, running_since, last_activity_at)
                    SELECT id, id, 'user_vm', 'env_' || lpad(right(id::text, 6), 8, '0'), 'vm', 'running', 2, 'free', 2,
                        4096, 10240, 64, false, 'local', now(), now()
                    FROM others
                    """)
                var overrides = QuotaOverrides()
                overrides.runtimeHours = 0
                try await bench.fleet.quotas.set(overrides, of: vm.userID, by: .system("test"))
                try await sweep(bench)
                #expect(try await bench.now(vm).state == .stopping)
                let running = try await bench.fleet.environments.list(states: [.running], limit: 500)
                #expect(running.count == 500, "nobody else is stopped")
            }
        }

        @Test func whoeverHasUsedUpTheHoursIsStopped() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                var overrides = QuotaOverrides()
                overrides.runtimeHours = 1
                try await bench.fleet.quotas.set(overrides, of: vm.userID, by: .system("test"))
                try await sweep(bench)
                #expect(try await bench.now(vm).state == .running)
                // In the middle of a month, so that no month's beginning divides the run.
                let start = "date_trunc('month', now()) + interval '10 days'"
                try await bench.pool.execute("UPDATE environment_runs SET started_at = \(raw: start)")
                let later = try #require(
                    try await bench.pool.query("SELECT \(raw: start) + interval '61 minutes' AS at").first)
                try await bench.pool.execute("UPDATE dev_environments SET last_activity_at = now() + interval '1 year'")
                try await sweep(bench, now: try later.decode("at", as: Date.self))
                #expect(try await bench.now(vm).state == .stopping)
            }
        }

        @Test func runtimeIsRightToTheMinuteOverStopsAndStarts() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                for minutes in [7, 55, 3] {
                    if try await bench.now(vm).state == .stopped {
                        try await bench.run(
                            try await bench.fleet.environments.requestStart(vm.id, actor: .system("test")))
                    }
                    try await bench.pool.execute(
                        """
                        UPDATE environment_runs SET started_at = now() - make_interval(mins => \(minutes)::integer)
                        WHERE stopped_at IS NULL
                        """)
                    try await bench.pool.execute(
                        "UPDATE dev_environments SET running_since = now() - make_interval(mins => \(minutes)::integer)"
                    )
                    try await bench.run(
                        try await bench.fleet.environments.requestStop(vm.id, actor: .system("test")))
                }
                #expect(try await bench.now(vm).runtimeSeconds() / 60 == 65)
            }
        }
    }
}
