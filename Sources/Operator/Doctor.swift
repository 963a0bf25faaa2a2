import EventLoop
import Fleet
package import Logging
import PostgreSQL
package import Providers
import Redis

/// What one check of the doctor found.
package struct Finding: Encodable, Sendable {
    package enum Verdict: String, Encodable, Sendable { case ok, warn, fail }

    package let check: String
    package let verdict: Verdict
    package let message: String
    package let hint: String?  // what to do; nil where all is well

    static func ok(_ check: String, _ message: String) -> Finding {
        Finding(check: check, verdict: .ok, message: message, hint: nil)
    }

    static func warn(_ check: String, _ message: String, hint: String) -> Finding {
        Finding(check: check, verdict: .warn, message: message, hint: hint)
    }

    static func fail(_ check: String, _ message: String, hint: String) -> Finding {
        Finding(check: check, verdict: .fail, message: message, hint: hint)
    }
}

/// The side of the HTTP API, which this room does not know: given to the doctor by whoever wires.
package protocol GatewayProbe: Sendable {
    var url: String { get }
    /// Throws what is wrong, in words for people.
    func checkHealth() async throws
    func checkToken() async throws
}

/// Walks from the machine to the runner inside a VM and says at each place whether it works, and if not what to do.
///
/// Every check is bounded, and stands alone: a server that is down fails its own check, and those that cannot be done
/// without it are left out. Nothing is changed.
package struct Doctor: Sendable {
    let settings: Settings
    let gateway: (any GatewayProbe)?
    let providers: @Sendable () async throws -> [any VMProvider]
    let diagnoseProvider: @Sendable () async -> [String]
    let describeProvider: @Sendable (ProviderKind) async -> String?
    let diagnoseNetwork: @Sendable () -> String?
    let logger: Logger

    /// - Parameters:
    ///   - providers: makes the providers of the settings.
    ///   - diagnoseProvider: says why they cannot work on this machine; empty if they can.
    ///   - describeProvider: says what one works with, where that is worth a word.
    ///   - diagnoseNetwork: says why runs have no network although their users may; `nil` if they have it, or nobody can.
    package init(
        settings: Settings, gateway: (any GatewayProbe)?,
        providers: @escaping @Sendable () async throws -> [any VMProvider],
        diagnoseProvider: @escaping @Sendable () async -> [String],
        describeProvider: @escaping @Sendable (ProviderKind) async -> String? = { _ in nil },
        diagnoseNetwork: @escaping @Sendable () -> String? = { nil }, logger: Logger
    ) {
        self.settings = settings
        self.gateway = gateway
        self.providers = providers
        self.diagnoseProvider = diagnoseProvider
        self.describeProvider = describeProvider
        self.diagnoseNetwork = diagnoseNetwork
        self.logger = logger
    }

    /// Makes all checks in order, telling each finding as it is made. Returns whether none failed.
    package func examine(_ report: (Finding) async throws -> Void) async throws -> Bool {
        var isHealthy = true
        func tell(_ findings: [Finding]) async throws {
            for finding in findings {
                if finding.verdict == .fail { isHealthy = false }
                try await report(finding)
            }
        }
        let running = Installation.running(in: settings.dataDirectory)
        try await tell(checkPrograms())
        try await tell(checkInstallation(running))
        guard let databaseURL = settings.databaseURL ?? running?.databaseURL,
            let redisURL = settings.redisURL ?? running?.redisURL
        else {
            try await tell(await checkProvider())
            return isHealthy
        }
        let database = PostgresPool(url: databaseURL, size: 2, logger: logger)
        let databaseFindings = await checkDatabase(database)
        try await tell(databaseFindings)
        let redis = try? RedisClient(url: redisURL, logger: logger)
        let redisFindings = await checkRedis(redis, url: redisURL)
        try await tell(redisFindings)
        try await tell(await checkGateway())
        try await tell(await checkProvider())
        let isReachable = (databaseFindings + redisFindings).allSatisfy { $0.verdict != .fail }
        if isReachable, let redis {
            let (secrets, finding) = await checkMasterKey()
            try await tell([finding])
            if let secrets {
                let fleet = Fleet(database: database, redis: redis, secrets: secrets, logger: logger)
                try await tell(await checkQueues(fleet))
                try await tell(await checkOutbox(fleet))
                try await tell(await checkEnvironments(fleet))
                try await tell(await checkProvisionLogs(fleet))
            }
        }
        await redis?.close()
        await database.close()
        return isHealthy
    }

    /// Runs one check under a deadline; what it throws becomes a failure.
    func check(
        _ name: String, hint: String, within limit: Duration = .seconds(15),
        _ body: @escaping @Sendable () async throws -> [Finding]
    ) async -> [Finding] {
        do {
            return try await withDeadline(limit, "answer for '\(name)'", body)
        } catch {
            return [.fail(name, String(describing: error), hint: hint)]
        }
    }
}
