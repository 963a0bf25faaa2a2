import Fleet
import Foundation
import PostgreSQL
import Testing

@testable import Worker

extension Live {
    /// The clock is the test's: what the sweep takes for now is given.
    @Suite struct TimekeeperTests {
        func timekeeper(_ bench: Bench) -> Timekeeper {
            Timekeeper(fleet: bench.fleet, actor: .worker("w"), logger: quiet)
        }

        func minutes(_ count: Double) -> Date { Date.now.addingTimeInterval(count * 60) }

        @Test func aFreeVMStopsAfterAnHourWithoutUse() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                try await timekeeper(bench).sweep(now: minutes(59))
                #expect(try await bench.now(vm).state == .running)
                try await timekeeper(bench).sweep(now: minutes(60.1))
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
                try await timekeeper(bench).sweep(now: minutes(60 * 24 * 365))
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
                try await timekeeper(bench).sweep(now: minutes(600))
                #expect(try await bench.now(vm).state == .running)
                try await bench.fleet.executions.finish(
                    id, ExecutionOutcome(state: .exited), actor: .system("test"))
                try await timekeeper(bench).sweep(now: minutes(600))
                #expect(try await bench.now(vm).state == .stopping)
            }
        }

        @Test func anOpenTerminalKeepsItsVMAwake() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                try await bench.pool.execute(
                    "UPDATE dev_environments SET last_activity_at = now() - interval '61 minutes'")
                try await bench.fleet.sessions.withHold(on: vm.id, kind: "terminal") {
                    try await timekeeper(bench).sweep()
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
                try await timekeeper(bench).sweep(now: minutes(24 * 60 - 1))
                #expect(try await bench.now(made).state != .destroying)
                try await timekeeper(bench).sweep(now: minutes(24 * 60 + 1))
                // Idle for a day, it is being stopped; what is on its way somewhere is destroyed when it is there.
                if try await bench.now(made).state == .stopping {
                    try await bench.run(try await bench.now(made))
                    try await timekeeper(bench).sweep(now: minutes(24 * 60 + 1))
                }
                #expect(try await bench.now(made).state == .destroying)
                try await bench.run(try await bench.now(made))
                #expect(try await bench.now(made).state == .destroyed)
                #expect(await bench.provider.specs.isEmpty)
            }
        }

        @Test func whoeverHasUsedUpTheHoursIsStopped() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                var overrides = QuotaOverrides()
                overrides.runtimeHours = 1
                try await bench.fleet.quotas.set(overrides, of: vm.userID, by: .system("test"))
                try await timekeeper(bench).sweep()
                #expect(try await bench.now(vm).state == .running)
                // In the middle of a month, so that no month's beginning divides the run.
                let start = "date_trunc('month', now()) + interval '10 days'"
                try await bench.pool.execute("UPDATE environment_runs SET started_at = \(raw: start)")
                let later = try #require(
                    try await bench.pool.query("SELECT \(raw: start) + interval '61 minutes' AS at").first)
                try await bench.pool.execute("UPDATE dev_environments SET last_activity_at = now() + interval '1 year'")
                try await timekeeper(bench).sweep(now: try later.decode("at", as: Date.self))
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
