import Fleet
import Foundation

/// What the fleet was like in a stretch of time.
struct FleetSampleView: Encodable, Sendable {
    var at: Date
    var running: Double
    var asleep: Double
    var moving: Double
    var failed: Double
    var executionsPerMinute: Double
    var failedExecutionsPerMinute: Double
    var coldStartsPerMinute: Double
    @Nullable var coldStartMs: Double?
    var waitingJobs: Int
    var activeJobs: Int
    var failedJobs: Int

    init(_ sample: FleetSample) {
        at = sample.at
        running = sample.running
        asleep = sample.asleep
        moving = sample.moving
        failed = sample.failed
        executionsPerMinute = sample.executions
        failedExecutionsPerMinute = sample.failedExecutions
        coldStartsPerMinute = sample.coldStarts
        coldStartMs = sample.coldStartMs
        waitingJobs = sample.waitingJobs
        activeJobs = sample.activeJobs
        failedJobs = sample.failedJobs
    }
}

/// The fleet at a glance.
struct StatsView: Encodable, Sendable {
    struct Executions: Encodable, Sendable {
        var byState: [String: Int]
        @Nullable var medianMs: Double?
        @Nullable var percentile95Ms: Double?
    }

    struct Minute: Encodable, Sendable {
        var minute: Date
        var count: Int
        var failed: Int
    }

    var environments: Int
    var environmentsByState: [String: Int]
    var environmentsByProvider: [String: Int]
    var environmentsByTier: [String: Int]
    var users: Int
    var suspendedUsers: Int
    var usersByTier: [String: Int]
    var runtimeHoursThisMonth: Double
    var executionsLastHour: Executions
    var executionsPerMinute: [Minute]
    var hostsByState: [String: Int]
    var hostCapacity: SizeView
    var hostUsed: SizeView
    var queues: [QueueView]

    init(_ stats: FleetStats, perMinute: [ExecutionMinute], queues reports: [QueueReport]) {
        environments = stats.environments
        environmentsByState = Self.named(stats.environmentsByState)
        environmentsByProvider = stats.environmentsByProvider
        environmentsByTier = Self.named(stats.environmentsByTier)
        users = stats.users
        suspendedUsers = stats.suspendedUsers
        usersByTier = Self.named(stats.usersByTier)
        runtimeHoursThisMonth = stats.runtimeHoursThisMonth
        executionsLastHour = Executions(
            byState: Self.named(stats.executionsLastHour.byState), medianMs: stats.executionsLastHour.medianMs,
            percentile95Ms: stats.executionsLastHour.percentile95Ms)
        executionsPerMinute = perMinute.map { Minute(minute: $0.minute, count: $0.count, failed: $0.failed) }
        hostsByState = Self.named(stats.hostsByState)
        hostCapacity = SizeView(stats.hostCapacity)
        hostUsed = SizeView(stats.hostUsed)
        queues = reports.map { QueueView($0) }
    }

    private static func named<Key: RawRepresentable<String>>(_ counts: [Key: Int]) -> [String: Int] {
        Dictionary(uniqueKeysWithValues: counts.map { ($0.key.rawValue, $0.value) })
    }
}
