import Fleet
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Gateway

extension LiveTests {
    /// What is told as it changes.
    @Suite struct LiveAnswerTests {
        @Test func environmentsAreToldAsTheyAreAndAgainWhenOneMoves() async throws {
            try await LiveTests().withBench { bench in
                try await RawClient.connected(to: bench.port) { client in
                    try await client.send(
                        """
                        GET /v1/environments?follow=1 HTTP/1.1\r\nHost: x\r\n\
                        Authorization: Bearer \(bench.token)\r\n\r\n
                        """)
                    #expect(try await client.read(until: "\r\n\r\n").contains("text/event-stream"))
                    try await client.read(until: "event: environments\ndata: {\"environments\":[]}")
                    let begin = ContinuousClock.now
                    let made = try await bench.call("POST", "/v1/environments", body: #"{"name":"web"}"#)
                    #expect(made.status == 202)
                    let told = try await client.read(until: "\"state\":\"provisioning\"")
                    #expect(told.contains("\"name\":\"web\"") && begin.duration(to: .now) < .seconds(5))
                    let stranger = try await bench.call(
                        "POST", "/v1/environments", token: bench.strangersToken, body: #"{"name":"theirs"}"#)
                    #expect(stranger.status == 202)
                    let slug = try #require((made.json["environment"] as? [String: Any])?["slug"] as? String)
                    let changed = try await bench.call(
                        "PATCH", "/v1/environments/\(slug)", body: #"{"name":"renamed"}"#)
                    #expect(changed.status == 200)
                }
            }
        }

        @Test func aLostSignalIsMadeUpForByTheClock() async throws {
            let calls = Mutex(0)
            let nothing = AsyncStream<Void> { _ in }
            await #expect(throws: CancellationError.self) {
                try await Wakes.each(nothing, atLeastEvery: .milliseconds(5)) {
                    let count = calls.withLock { calls in
                        calls += 1
                        return calls
                    }
                    if count == 3 { throw CancellationError() }
                }
            }
            #expect(calls.withLock { $0 } == 3)
        }

        @Test func manySignalsMeanwhileAreOne() async throws {
            let (signals, signal) = AsyncStream<Void>.makeStream()
            let calls = Mutex(0)
            for _ in 0..<1_000 { signal.yield() }
            await #expect(throws: CancellationError.self) {
                try await Wakes.each(signals, atLeastEvery: .seconds(600)) {
                    calls.withLock { $0 += 1 }
                    if calls.withLock({ $0 }) >= 2 { throw CancellationError() }
                }
            }
            #expect(calls.withLock { $0 } == 2)
        }

        @Test func aVMIsMadeOfTheFlavourThatIsAskedFor() async throws {
            try await LiveTests().withBench { bench in
                for body in [#"{"flavour":"x"}"#, #"{"flavor":3}"#] {
                    #expect(try await bench.call("POST", "/v1/vm", body: body).status == 422)
                }
                let made = try await bench.call("POST", "/v1/vm", body: #"{"flavor":"d2-4","region":null}"#)
                #expect(made.status == 202, "\(made.text)")
                let list = try await bench.call("GET", "/v1/environments").json["environments"] as? [[String: Any]]
                #expect(list?.first?["flavor"] as? String == "d2-4" && list?.first?["region"] is NSNull)
                let slug = try #require(list?.first?["slug"] as? String)
                let why = try await bench.call("GET", "/v1/environments/\(slug)/why").json["why"] as? [String: Any]
                #expect(why?["runningExecutions"] as? Int == 0 && why?["idleStopAt"] is NSNull)
                let offer = try await bench.call("GET", "/v1/flavors")
                #expect(offer.status == 200 && offer.json["flavors"] as? [String] == [])
            }
        }
    }
}
