import EventLoop
package import Fleet
import Logging
import Redis
import Synchronization

/// How many requests a token may make in a minute, by its user's tier. A tier without a figure is not limited.
package struct RateLimits: Sendable, Hashable {
    package var perMinute: [Tier: Int]

    package static let standard = RateLimits(perMinute: [.free: 300, .pro: 3_000, .unlimited: 12_000])
    package static let off = RateLimits(perMinute: [:])

    package init(perMinute: [Tier: Int]) { self.perMinute = perMinute }

    /// `off`, or figures that differ from the standard ones: `free=600,pro=6000,unlimited=off`. `nil` if it is neither.
    package init?(_ text: String) {
        guard text != "off" else {
            self = .off
            return
        }
        self = .standard
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=").map { $0.filter { $0 != " " } }
            guard pair.count == 2, let tier = Tier(rawValue: pair[0]) else { return nil }
            if pair[1] == "off" {
                perMinute[tier] = nil
            } else {
                guard let figure = Int(pair[1]), (1...1_000_000).contains(figure) else { return nil }
                perMinute[tier] = figure
            }
        }
    }
}

/// What a request was told: the `RateLimit-…` fields of its answer (draft-ietf-httpapi-ratelimit-headers, in the form
/// of its first versions, which is what clients read).
struct RateVerdict: Sendable, Hashable {
    let limit: Int
    let remaining: Int
    let resetSeconds: Int  // until all of the limit is there again
    let retryAfterSeconds: Int?  // nil: admitted
}

/// One bucket a token and ``RateBucket``, in Redis, so that all gateways count together; it holds as much as the limit, and fills evenly
/// in a minute.
///
/// A token that was far from its limit a moment ago is not kept waiting for Redis: its request goes on while the bucket
/// is drawn from beside it (``estimate(for:)``). What gateways may admit too much in this way is what is under way at
/// the moment the bucket runs low.
///
/// The bucket is one number, the time at which it will be full (the generic cell rate algorithm, ITU-T I.371), by the
/// server's own clock: gateways whose clocks differ agree. Where Redis does not answer in time the request is
/// admitted: a limit protects the service, and must not be what takes it down.
final class RateLimiter: Sendable {
    private let limits: RateLimits
    private let redis: RedisClient
    private let patience: Duration
    private let logger: Logger
    private let silence = Mutex(Silence())
    private let estimates = Mutex<[Drawn: Estimate]>([:])

    /// Whose bucket, and which.
    private struct Drawn: Hashable {
        let token: TokenID
        let bucket: RateBucket
    }

    /// What Redis last said of a token's bucket, less what was drawn since.
    private struct Estimate {
        var verdict: RateVerdict
        let at: ContinuousClock.Instant
    }

    /// Tokens whose estimate is kept; with one more all are forgotten, which costs each of them one round trip.
    private static let maximumEstimates = 10_000

    private struct Silence {
        var until: ContinuousClock.Instant?  // Redis is not asked before
        var loggedAt: ContinuousClock.Instant?
    }

    init(limits: RateLimits, redis: RedisClient, patience: Duration = .milliseconds(250), logger: Logger) {
        self.limits = limits
        self.redis = redis
        self.patience = patience
        self.logger = logger
    }

    /// The verdict, where there is no doubt of it: more than a quarter of the bucket was there within the last minute.
    /// The caller takes from the bucket all the same.
    func estimate(for caller: Caller, _ bucket: RateBucket = .calls) -> RateVerdict? {
        let drawn = Drawn(token: caller.tokenID, bucket: bucket)
        return estimates.withLock { estimates in
            guard var estimate = estimates[drawn], .now - estimate.at < .seconds(60) else { return nil }
            let verdict = estimate.verdict
            guard verdict.limit == limits.perMinute[caller.tier], verdict.remaining > verdict.limit / 4 else {
                return nil
            }
            estimate.verdict = RateVerdict(
                limit: verdict.limit, remaining: verdict.remaining - 1, resetSeconds: verdict.resetSeconds,
                retryAfterSeconds: nil)
            estimates[drawn] = estimate
            return estimate.verdict
        }
    }

    private func remember(_ verdict: RateVerdict, for drawn: Drawn) {
        estimates.withLock { estimates in
            if estimates.count >= Self.maximumEstimates, estimates[drawn] == nil { estimates = [:] }
            estimates[drawn] = Estimate(verdict: verdict, at: .now)
        }
    }

    /// Takes one from the token's bucket. `nil`: there is no limit, or nobody could say.
    func take(_ caller: Caller, _ bucket: RateBucket = .calls) async -> RateVerdict? {
        guard let limit = limits.perMinute[caller.tier] else { return nil }
        guard silence.withLock({ $0.until.map { $0 <= .now } ?? true }) else { return nil }
        do {
            let reply = try await withDeadline(patience, "answer of Redis") { [redis] in
                try await redis.eval(
                    Self.script, keys: ["\(bucket.keyPrefix)\(caller.tokenID)"], arguments: [RedisArgument(limit)])
            }
            let figures = (reply.elements ?? []).compactMap { $0.number }
            guard figures.count == 3 else {
                throw RedisError(.protocolViolation, "an unknown reply to the rate script")
            }
            let verdict = RateVerdict(
                limit: limit, remaining: figures[0], resetSeconds: figures[1],
                retryAfterSeconds: figures[2] < 0 ? nil : max(1, figures[2]))
            remember(verdict, for: Drawn(token: caller.tokenID, bucket: bucket))
            return verdict
        } catch is CancellationError {
            return nil
        } catch {
            note(error)
            return nil
        }
    }

    private func note(_ error: any Error) {
        let isNews = silence.withLock { silence in
            silence.until = .now + .seconds(1)
            guard silence.loggedAt.map({ .now - $0 >= .seconds(60) }) ?? true else { return false }
            silence.loggedAt = .now
            return true
        }
        if isNews { logger.warning("rates are not limited: no answer of Redis", metadata: ["error": "\(error)"]) }
    }

    /// Times in microseconds, which a double holds exactly until the year 2255. Answers what is left, the seconds
    /// until the bucket is full, and the seconds until one more would be admitted (-1: this one is).
    private static let script = RedisScript(
        "rate",
        """
        local limit = tonumber(ARGV[1])
        local interval = 60000000 / limit
        local time = redis.call('TIME')
        local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
        local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
        local wait = full + interval - 60000000 - now
        if wait > 0.5 then
            return {0, math.ceil((full - now) / 1000000), math.ceil(wait / 1000000)}
        end
        full = full + interval
        redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
        return {math.floor((60000000 - (full - now)) / interval + 0.001), math.ceil((full - now) / 1000000), -1}
        """)
}

/// What is counted by itself: looking at pages takes nothing from what programs may call, and the other way round. Both
/// hold as much.
enum RateBucket: Sendable, Hashable {
    case calls
    case pages

    fileprivate var keyPrefix: String {
        switch self {
        case .calls: "martlet:rate:"
        case .pages: "martlet:rate:pages:"
        }
    }
}

/// What counts the requests of callers.
struct RateGate: Sendable {
    let estimate: @Sendable (Caller, RateBucket) -> RateVerdict?
    let take: @Sendable (Caller, RateBucket) async -> RateVerdict?

    init(_ limiter: RateLimiter) {
        estimate = { limiter.estimate(for: $0, $1) }
        take = { await limiter.take($0, $1) }
    }
}

/// More than the token may.
struct RateExceeded: Error {
    let verdict: RateVerdict
    let tier: Tier

    var error: ServiceError {
        ServiceError(
            .rateLimited, "This token has made its \(verdict.limit) requests of a minute (tier '\(tier.rawValue)').",
            hint: """
                Send it again in \(verdict.retryAfterSeconds ?? 1) s; the RateLimit fields of each answer say how many \
                are left.
                """)
    }
}

/// Whether a request is within its rate, as far as that is known. Asked while the body is still coming.
final class Admission: Sendable {
    private let verdict = Waiter<RateVerdict?>()
    private let known = Mutex<RateVerdict?>(nil)

    func settle(_ result: RateVerdict?) { verdict.resume(with: .success(result)) }

    /// Returns when the request may go on. Throws ``RateExceeded``. Once.
    func wait(tier: Tier) async throws {
        guard let verdict = try await verdict.value() else { return }
        known.withLock { $0 = verdict }
        if verdict.retryAfterSeconds != nil { throw RateExceeded(verdict: verdict, tier: tier) }
    }

    var seen: RateVerdict? { known.withLock { $0 } }
}
