import Foundation
import PostgreSQL
import Testing

@testable import Fleet

extension Live {
    @Suite struct SampleTests {
        @Test func aMinuteIsWrittenOnceHoweverManyTry() async throws {
            try await withFleet { bench in
                let written = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for _ in 0..<8 { group.addTask { try await bench.fleet.samples.record(now: .now) } }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                // The minute may turn while they do.
                #expect((1...2).contains(written))
                #expect(try await bench.count("SELECT count(*) FROM fleet_samples") == written)
            }
        }

        @Test func itHoldsWhatThereIsAndWhatBeganInTheMinuteBefore() async throws {
            try await withFleet { bench in
                let (first, second, third) = (
                    try await bench.caller(), try await bench.caller(), try await bench.caller()
                )
                let vm = try await bench.vm(.running, of: first)
                _ = try await bench.vm(.stopped, of: second)
                try await bench.create(for: third)
                for state in ["exited", "failed"] {
                    try await bench.pool.execute(
                        """
                        INSERT INTO environment_executions (id, user_id, environment_id, gateway_id, state, language,
                            code, code_bytes, finished_at)
                        VALUES (gen_random_uuid(), \(first.userID), \(vm.id), 'g', \(state), 'bash', '', 0, now())
                        """)
                }
                // All of it in the middle of one minute, whenever the test runs.
                let minute = Date(timeIntervalSince1970: (Date.now.timeIntervalSince1970 / 60).rounded(.down) * 60)
                let middle = minute.addingTimeInterval(-30)
                try await bench.pool.execute("UPDATE environment_executions SET started_at = \(middle)")
                try await bench.pool.execute("UPDATE environment_audit_log SET created_at = \(middle)")
                try await bench.fleet.samples.record(now: minute)
                let sample = try #require(try await bench.fleet.samples.list(hours: 1, now: minute).samples.first)
                #expect(sample.running == 1 && sample.asleep == 1 && sample.moving == 1 && sample.failed == 0)
                #expect(sample.executions == 2 && sample.failedExecutions == 1)
                #expect(sample.coldStarts == 2 && sample.coldStartMs != nil, "both came to run")
                #expect(sample.waitingJobs == 3 || sample.waitingJobs == 4, "of the created and the moved ones")
            }
        }

        @Test func aWeekIsKeptAndToldInFewStretches() async throws {
            try await withFleet { bench in
                try await bench.pool.execute(
                    """
                    INSERT INTO fleet_samples
                    SELECT date_trunc('minute', now()) - make_interval(mins => n), 2, 1, 0, 0, 6, 0, 1, 100, n % 7, 0, 0
                    FROM generate_series(1, 11000) AS n
                    """)
                try await bench.fleet.samples.record()
                #expect(try await bench.count("SELECT count(*) FROM fleet_samples") <= 10_081)
                for (hours, step) in [(1, 1), (6, 2), (24, 6), (168, 42)] {
                    let told = try await bench.fleet.samples.list(hours: hours)
                    #expect(told.stepMinutes == step && (55...242).contains(told.samples.count), "\(hours)")
                    let middle = told.samples[told.samples.count / 2]
                    #expect(middle.running == 2 && middle.executions == 6 && middle.coldStartMs == 100)
                }
            }
        }
    }
}
