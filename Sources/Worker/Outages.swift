import Fleet
import Providers
import Synchronization

/// What jobs need and cannot reach at present: a provider's engine, the database. While that lasts they are put off at no
/// cost, so that an engine which is restarted, or away for minutes, fails nobody's start. What is away for longer than
/// ``limit`` fails jobs as anything else does, until it is reached again.
final class Outages: Sendable {
    private struct Outage {
        let since: ContinuousClock.Instant
        var jobs: Set<String> = []  // that were put off because of it
    }

    /// How long a job rests: as long as the outage has lasted, within these.
    private static let rests = Duration.seconds(1)...Duration.seconds(15)

    /// PostgreSQL and Redis.
    static let servers = "servers"

    private let limit: Duration
    private let outages = Mutex<[String: Outage]>([:])

    init(limit: Duration) { self.limit = limit }

    /// How long a job is to rest that met an outage of `what`, and whether it is put off for the first time; `nil` if
    /// this has gone on for too long.
    func rest(
        _ job: String, awaiting what: String, now: ContinuousClock.Instant = .now
    ) -> (duration: Duration, isFirst: Bool)? {
        outages.withLock { outages in
            var outage = outages[what] ?? Outage(since: now)
            let lasted = now - outage.since
            guard lasted < limit else { return nil }
            let isFirst = outage.jobs.insert(job).inserted
            outages[what] = outage
            return (min(max(lasted, Self.rests.lowerBound), Self.rests.upperBound), isFirst)
        }
    }

    /// To be called whenever it was reached.
    func end(_ what: String) { _ = outages.withLock { $0.removeValue(forKey: what) } }

    /// What an error says cannot be reached; `nil` if it says something else.
    static func target(of error: any Error, provider: String?) -> String? {
        switch error {
        case let error as ProviderError where error.code == .unavailable && error.isRetryable: provider
        case let error as ServiceError where error.code == .serviceUnavailable: servers
        default: nil
        }
    }
}
