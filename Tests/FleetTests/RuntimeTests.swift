import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct RuntimeTests {
        @Test func minutesAreRightOverManyRuns() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                var vm = try await bench.move(try await bench.create(for: caller), .running)
                let minutes: [Double] = [1, 59, 0, 7.5, 24 * 60, 0.5]
                for length in minutes {
                    try await bench.backdateRun(of: vm, minutes: length)
                    vm = try await bench.move(vm, .stopping, .stopped)
                    #expect(vm.runningSince == nil)
                    vm = try await bench.fleet.environments.requestStart(vm.id, actor: AuditActor(caller))
                    vm = try await bench.move(vm, .running)
                }
                try await bench.backdateRun(of: vm, minutes: 3)
                vm = try #require(try await bench.fleet.environments.find(vm.id))
                #expect(vm.runtimeSeconds() / 60 == 1_511, "the run under way is included")
                vm = try await bench.move(vm, .error)
                #expect(vm.runtimeSeconds() / 60 == 1_511 && vm.runningSince == nil, "a failure ends a run")
                let runs = try await bench.pool.query(
                    """
                    SELECT count(*) AS count, count(stopped_at) AS ended,
                        (extract(epoch FROM sum(stopped_at - started_at)) / 60)::int AS minutes
                    FROM environment_runs WHERE environment_id = \(vm.id)
                    """)
                let row = try #require(runs.first)
                #expect(try row.decode("count") == 7 && row.decode("ended") == 7)
                #expect(try row.decode("minutes") == 1_511)
            }
        }

        @Test func aRunLastsUntilTheMachineIsKnownToHaveStopped() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.move(try await bench.create(for: caller), .running, .stopping)
                let open: SQL = "SELECT count(*) FROM environment_runs WHERE stopped_at IS NULL"
                #expect(try await bench.count(open) == 1 && vm.runningSince != nil)
                try await bench.move(vm, .stopped)
                #expect(try await bench.count(open) == 0)
                let other = try await bench.move(
                    try await bench.create(for: try await bench.caller()), .running, .destroying)
                #expect(try await bench.count(open) == 1)
                try await bench.move(other, .destroyed)
                #expect(try await bench.count(open) == 0)
            }
        }

        @Test func aRunWhoseEndNobodyWroteNeitherHoldsTheNextUpNorCounts() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.create(for: caller)
                try await bench.pool.execute(
                    """
                    INSERT INTO environment_runs (environment_id, user_id, started_at)
                    VALUES (\(vm.id), \(vm.userID), now() - interval '20 days')
                    """)
                try await bench.move(vm, .running)
                #expect(try await bench.fleet.quotas.usage(of: caller.userID).runtimeSeconds < 60)
                #expect(try await bench.count("SELECT count(*) FROM environment_runs") == 1)
            }
        }

        /// Runs of a March: one that began in February, one under way, one of another user.
        @Test func hoursAreThoseOfTheCalendarMonthInUTC() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.create(for: caller)
                let other = try await bench.create(for: try await bench.caller())
                func run(_ environment: Environment, _ start: String, _ stop: String?) async throws {
                    try await bench.pool.execute(
                        """
                        INSERT INTO environment_runs (environment_id, user_id, started_at, stopped_at)
                        VALUES (\(environment.id), \(environment.userID), \(start), \(stop))
                        """)
                }
                try await run(vm, "2026-01-01 00:00Z", "2026-02-20 00:00Z")
                try await run(vm, "2026-02-27 10:00Z", "2026-03-02 12:30Z")  // 36 h 30 min of March
                try await run(vm, "2026-03-09 23:15Z", nil)  // 45 min by the 10th
                try await run(other, "2026-03-01 00:00Z", "2026-03-09 00:00Z")
                let date = try #require(try? Date("2026-03-10T00:00:00Z", strategy: .iso8601))
                for zone in ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"] {
                    let usage = try await bench.pool.withTransaction { connection in
                        try await connection.execute("SET LOCAL timezone = '\(raw: zone)'")
                        return try await QuotaStore.ledger(
                            of: caller.userID, on: connection, locking: false, at: date
                        ).usage
                    }
                    #expect(usage.runtimeSeconds == 37 * 3_600 + 15 * 60, "\(zone)")
                    #expect(usage.runtimeHours == 37.25)
                }
                let stats = try await bench.fleet.stats(now: date)
                #expect(stats.runtimeHoursThisMonth == 37.25 + 8 * 24)
                let april = try #require(try? Date("2026-04-01T00:00:00Z", strategy: .iso8601))
                let ledger = try await bench.fleet.quotas.ledger(of: caller.userID, at: april)
                #expect(ledger.usage.runtimeSeconds == 0)
            }
        }

        @Test func whoHasUsedUpTheMonthStartsNothing() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let actor = AuditActor(caller)
                let vm = try await bench.move(try await bench.create(for: caller), .running, .stopping, .stopped)
                try await bench.pool.execute("DELETE FROM environment_runs")
                // From the beginning of the month on, so that it is of this month whenever this is run.
                try await bench.pool.execute(
                    """
                    INSERT INTO environment_runs (environment_id, user_id, started_at, stopped_at)
                    SELECT \(vm.id), \(vm.userID), date_trunc('month', now(), 'UTC') - interval '5 h',
                        date_trunc('month', now(), 'UTC') + interval '0 s'
                    """)
                try await bench.fleet.quotas.set(
                    QuotaOverrides(runtimeHours: 1), of: caller.userID, by: .system("test"))
                #expect(try await bench.fleet.quotas.usage(of: caller.userID).runtimeSeconds == 0)
                var started = try await bench.fleet.environments.requestStart(vm.id, actor: actor)
                started = try await bench.move(started, .running, .stopping, .stopped)
                try await bench.pool.execute(
                    """
                    UPDATE environment_runs SET stopped_at = date_trunc('month', now(), 'UTC') + interval '1 h'
                    WHERE started_at < date_trunc('month', now(), 'UTC')
                    """)
                let now = try await bench.fleet.quotas.usage(of: caller.userID).runtimeSeconds
                #expect(now >= 3_600)
                let error = await refusal { try await bench.fleet.environments.requestStart(vm.id, actor: actor) }
                #expect(error?.code == .quotaExceeded && error?.message.contains("hours of runtime this month") == true)
                try await bench.fleet.quotas.set(
                    QuotaOverrides(runtimeHours: 700), of: caller.userID, by: .system("test"))
                try await bench.fleet.environments.requestStart(vm.id, actor: actor)
            }
        }
    }
}
