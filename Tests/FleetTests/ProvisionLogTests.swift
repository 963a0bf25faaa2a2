import Foundation
import Redis
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct ProvisionLogTests {
        @Test func theNewestHundredLinesAreKeptForAnHour() async throws {
            try await withFleet { bench in
                let (user, log) = (UserID(), bench.fleet.provisionLog)
                #expect(try await log.recent(user).isEmpty)
                #expect(try await log.timeToLive(user) == nil)
                for number in 0..<130 { await log.append(user, .info, "line \(number)") }
                let lines = try await log.recent(user)
                #expect(lines.map(\.message) == (30..<130).map { "line \($0)" })
                #expect(lines.last?.timestamp.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
                let left = try #require(try await log.timeToLive(user))
                #expect(left > .seconds(3_500) && left <= .seconds(3_600))
                let raw = try await bench.redis.command("LINDEX", RedisArgument("provision-logs:\(user)"), -1).text
                #expect(raw?.hasPrefix(#"{"level":"info","message":"line 129","timestamp":"#) == true)
            }
        }

        @Test func anEnvironmentHasItsOwnLinesWhateverElseIsLogged() async throws {
            try await withFleet { bench in
                let (user, quiet, busy) = (UserID(), EnvironmentID(), EnvironmentID())
                let log = bench.fleet.provisionLog
                await log.append(user, of: quiet, .success, "made")
                for number in 0..<130 { await log.append(user, of: busy, .info, "line \(number)") }
                #expect(try await log.recent(quiet).map(\.message) == ["made"])
                #expect(try await log.recent(busy).map(\.message) == (30..<130).map { "line \($0)" })
                #expect(try await log.recent(user) == log.recent(busy), "and the user's is as it always was")
                let left = try #require(try await log.timeToLive(quiet))
                #expect(left > .seconds(3_500) && left <= .seconds(3_600))
                let next = try await log.withFollowing(quiet) { entries in
                    await log.append(user, of: busy, .info, "not this one")
                    await log.append(user, of: quiet, .info, "stopped")
                    var lines = entries.makeAsyncIterator()
                    return [try await lines.next()?.message, try await lines.next()?.message]
                }
                #expect(next == ["made", "stopped"])
            }
        }

        @Test func aFollowerGetsEveryLineOnceAndInOrder() async throws {
            try await withFleet { bench in
                let (user, log) = (UserID(), bench.fleet.provisionLog)
                await log.append(user, .info, "0")
                // Written while the follower joins: some of these come by the list, some live, some both ways.
                let writer = Task { for number in 1..<60 { await log.append(user, .debug, "\(number)") } }
                let lines = try await log.withFollowing(user) { entries in
                    var lines: [String] = []
                    for try await entry in entries {
                        lines.append(entry.message)
                        if entry.level == .success { break }
                        if entry.message == "59" { await log.append(user, .success, "complete") }
                    }
                    return lines
                }
                await writer.value
                #expect(lines == (0..<60).map(String.init) + ["complete"])
            }
        }
    }
}
