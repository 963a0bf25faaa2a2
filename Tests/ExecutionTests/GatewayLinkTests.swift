import Fleet
import Foundation
import Redis
import TestSupport
import Testing

@testable import Execution

extension Live {
    @Suite struct GatewayLinkTests {
        static func request(_ operation: GatewayLink.Request.Operation) -> GatewayLink.Request {
            GatewayLink.Request(operation: operation, execution: ExecutionID(), user: UserID(), bytes: Data([1]))
        }

        /// Lends a link whose other end carries out with `perform`.
        static func withLink(
            answerTimeout: Duration, performing perform: @escaping @Sendable (GatewayLink.Request) async throws -> Void,
            _ body: (_ link: GatewayLink, _ gateway: String) async throws -> Void
        ) async throws {
            try await withRedis { redis in
                let other = "other-\(UUID())"
                let own = GatewayLink(
                    redis: redis, gatewayID: "own-\(UUID())", answerTimeout: answerTimeout, logger: quiet)
                let served = GatewayLink(redis: redis, gatewayID: other, answerTimeout: answerTimeout, logger: quiet)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await own.run { _ in } }
                    group.addTask { try await served.run(perform) }
                    defer { group.cancelAll() }
                    for id in [own.gatewayID, other] {
                        try await eventually(describing: "gateway \(id) listening") {
                            let reply = try await redis.command("PUBSUB", "NUMSUB", "martlet:gateway:\(id)")
                            return reply.elements?.last?.number == 1
                        }
                    }
                    try await body(own, other)
                }
            }
        }

        @Test func stdinThatNobodyTakesHoldsNoCancellationUp() async throws {
            let (waiting, arrival) = AsyncStream<Void>.makeStream()
            try await Self.withLink(answerTimeout: .seconds(60)) { request in
                guard request.operation == .stdin else { return }
                arrival.yield()
                try await Task.sleep(for: .seconds(60))  // a program that does not read
            } _: { link, gateway in
                try await withThrowingTaskGroup(of: Void.self) { writers in
                    for _ in 0..<GatewayLink.concurrency {
                        writers.addTask { try await link.send(Self.request(.stdin), to: gateway) }
                    }
                    var arrivals = waiting.makeAsyncIterator()
                    for _ in 0..<GatewayLink.concurrency { await arrivals.next() }
                    try await link.send(Self.request(.cancel), to: gateway)
                    await #expect(throws: ServiceError.self) { try await link.send(Self.request(.stdin), to: gateway) }
                    writers.cancelAll()
                }
            }
        }

        @Test func stdinIsHeldNoLongerThanItsSenderWaits() async throws {
            let (ended, end) = AsyncStream<Void>.makeStream()
            try await Self.withLink(answerTimeout: .milliseconds(200)) { _ in
                defer { end.yield() }
                try await Task.sleep(for: .seconds(60))  // a program that does not read
            } _: { link, gateway in
                let refusal = await #expect(throws: ServiceError.self) {
                    try await link.send(Self.request(.stdin), to: gateway)
                }
                #expect(refusal?.code == .requestTimeout)
                var ends = ended.makeAsyncIterator()
                await ends.next()
            }
        }
    }
}
