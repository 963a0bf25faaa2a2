import Execution
import Fleet
import Foundation
import Logging
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Gateway

/// How many requests a token may make.
@Suite(LiveRedis()) struct RateTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func caller(_ tier: Tier = .free) -> Caller {
        Caller(userID: UserID(), tokenID: TokenID(), role: .user, scopes: [.user], tier: tier)
    }

    private static func withLimiters(
        _ limits: RateLimits, _ body: (RateLimiter, RateLimiter) async throws -> Void
    ) async throws {
        let clients = [
            try RedisClient(url: LiveRedis.url, logger: logger), try RedisClient(url: LiveRedis.url, logger: logger),
        ]
        let limiters = clients.map { RateLimiter(limits: limits, redis: $0, patience: .seconds(5), logger: logger) }
        try await body(limiters[0], limiters[1])
        for client in clients { await client.close() }
    }

    @Test func allGatewaysDrawFromOneBucket() async throws {
        try await Self.withLimiters(RateLimits(perMinute: [.free: 4])) { first, second in
            let caller = Self.caller()
            var left: [Int?] = []
            for limiter in [first, second, first, second] {
                let verdict = await limiter.take(caller)
                #expect(verdict?.limit == 4 && verdict?.retryAfterSeconds == nil)
                left.append(verdict?.remaining)
            }
            #expect(left == [3, 2, 1, 0])
            let refusal = try #require(await second.take(caller))
            #expect(refusal.remaining == 0 && (14...15).contains(refusal.retryAfterSeconds ?? 0), "\(refusal)")
            #expect((59...60).contains(refusal.resetSeconds))
            #expect(second.estimate(for: caller) == nil)  // too near to its limit to go on unasked
            #expect(await first.take(Self.caller())?.remaining == 3)  // another's bucket is another
            #expect(await first.take(Self.caller(.pro)) == nil)  // no figure, no limit
        }
    }

    @Test func theBucketFillsEvenly() async throws {
        try await Self.withLimiters(RateLimits(perMinute: [.free: 600])) { limiter, _ in
            let caller = Self.caller()
            for _ in 0..<600 { _ = await limiter.take(caller) }
            // A tenth of a second a request: refused now, admitted soon.
            try await eventually(within: .seconds(5), describing: "one more is admitted") {
                await limiter.take(caller)?.retryAfterSeconds == nil
            }
        }
    }

    @Test func withoutRedisEverybodyIsAdmitted() async throws {
        let redis = try RedisClient(url: "unix:///nowhere/redis.sock", logger: Self.logger)
        let limiter = RateLimiter(
            limits: .standard, redis: redis, patience: .milliseconds(50), logger: Self.logger)
        let begin = ContinuousClock.now
        for _ in 0..<20 { #expect(await limiter.take(Self.caller()) == nil) }
        #expect(.now - begin < .seconds(1))  // it is not asked again each time
        await redis.close()
    }

    @Test func whatIsTooMuchIsRefusedBeforeAnythingIsDone() async throws {
        let runs = Mutex(0)
        try await Self.withLimiters(RateLimits(perMinute: [.free: 2])) { limiter, _ in
            var operations = GatewayOperations.running { _ in }
            let execute = operations.execute
            operations.execute = { request, caller, requestID, body in
                runs.withLock { $0 += 1 }
                try await execute(request, caller, requestID, body)
            }
            let caller = Self.caller()
            operations.authenticate = { _ in caller }
            operations.rate = RateGate(limiter)
            try await withGateway(operations) { port, _ in
                try await RawClient.connected(to: port) { client in
                    try await client.execute(["Connection: keep-alive"])
                    let head = try await client.read(until: "\r\n\r\n").lowercased()
                    #expect(head.contains("ratelimit-limit: 2") && head.contains("ratelimit-remaining: 1"), "\(head)")
                    #expect(head.contains("ratelimit-reset: 30"), "\(head)")
                    try await client.read(until: "0\r\n\r\n")
                    try await client.request("GET", "/v1/tokens")
                    #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
                    try await client.execute()
                    let refusal = try await client.response()
                    #expect(refusal.head.hasPrefix("HTTP/1.1 429"), "\(refusal.head)")
                    #expect(refusal.head.lowercased().contains("retry-after: 30"), "\(refusal.head)")
                    #expect(refusal.body.contains("\"rate_limited\"") && refusal.body.contains("'free'"))
                    try await client.request("GET", "/healthz")  // who needs no token has no rate
                    #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
                }
            }
        }
        #expect(runs.withLock { $0 } == 1)
    }

    /// However many calls are in a request of tRPC, it draws once.
    @Test func tRPCDrawsFromTheSameBucket() async throws {
        try await Self.withLimiters(RateLimits(perMinute: [.free: 2])) { limiter, _ in
            var operations = GatewayOperations.seeded
            let caller = Self.caller()
            operations.authenticate = { _ in caller }
            operations.rate = RateGate(limiter)
            try await withGateway(operations) { port, _ in
                try await RawClient.connected(to: port) { client in
                    try await client.request("GET", "/api/trpc/vm.getMyVm,vm.getMyVm?batch=1&input=%7B%7D")
                    let (head, _) = try await client.response()
                    #expect(head.lowercased().contains("ratelimit-remaining: 1"), "\(head)")
                    try await client.request("GET", "/v1/tokens")
                    #expect(try await client.response().head.lowercased().contains("ratelimit-remaining: 0"))
                    try await client.request(
                        "POST", "/api/trpc/vm.startMyVm", ["Content-Type: application/json"], body: "{}")
                    let refusal = try await client.response()
                    #expect(refusal.head.hasPrefix("HTTP/1.1 429"), "\(refusal.head)")
                    #expect(refusal.body.contains("TOO_MANY_REQUESTS") && refusal.body.contains("rate_limited"))
                    #expect(refusal.head.lowercased().contains("retry-after: 30"), "\(refusal.head)")
                }
            }
        }
    }

    @Test func whatIsLookedAtTakesNothingFromWhatIsCalled() async throws {
        try await Self.withLimiters(RateLimits(perMinute: [.free: 2])) { limiter, _ in
            let caller = Self.caller()
            for left in [1, 0] { #expect(await limiter.take(caller, .pages)?.remaining == left) }
            #expect(await limiter.take(caller, .pages)?.retryAfterSeconds != nil, "pages have an end too")
            #expect(limiter.estimate(for: caller, .calls) == nil)
            #expect(await limiter.take(caller, .calls)?.remaining == 1)
            #expect(await limiter.take(caller)?.remaining == 0)
        }
    }

    @Test(arguments: [
        ("off", RateLimits.off), ("free=1", RateLimits(perMinute: [.free: 1, .pro: 3_000, .unlimited: 12_000])),
        ("pro=off, unlimited=5", RateLimits(perMinute: [.free: 300, .unlimited: 5])), ("free=0", nil), ("gold=1", nil),
        ("free", nil), ("free=a", nil),
    ])
    func limitsAreSaidInWords(text: String, limits: RateLimits?) {
        #expect(RateLimits(text) == limits)
    }
}
