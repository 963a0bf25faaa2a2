import Cryptography
import Execution
import Fleet
import Foundation
import Gateway
import Logging
import Operator
import PostgreSQL
import Providers
import Redis
import ServiceLifecycle
import Telemetry
import Worker

/// The rooms of one process, wired together.
struct Wiring: Sendable {
    let settings: Settings
    let fleet: Fleet
    let name: String  // of this process, among all that share the servers
    let registry = MetricRegistry()

    /// Lends the domain over the servers at these URLs, and closes its connections afterwards.
    static func withFleet<Result: Sendable>(
        _ settings: Settings, database databaseURL: String, redis redisURL: String, mayMakeKey: Bool,
        _ body: (Wiring) async throws -> Result
    ) async throws -> Result {
        ProcessSetup.raiseDescriptorLimit()
        let key = try MasterKey.load(
            text: settings.masterKey, file: settings.masterKeyFile, mayCreate: mayMakeKey)
        let redis = try RedisClient(url: redisURL, logger: Logger(label: "martlet.redis"))
        let database = PostgresPool(url: databaseURL, size: 16, logger: Logger(label: "martlet.postgresql"))
        let fleet = Fleet(
            database: database, redis: redis, secrets: try SecretBox(key: key),
            configuration: settings.worker.fleetConfiguration, logger: Logger(label: "martlet.fleet"))
        let name = "\(ProcessInfo.processInfo.hostName)-\(ProcessInfo.processInfo.processIdentifier)-"
        let wiring = Wiring(settings: settings, fleet: fleet, name: name + (try Random.hex(2)))
        do {
            wiring.registry.collect(from: fleet)
            let result = try await body(wiring)
            await close(database, redis)
            return result
        } catch {
            await close(database, redis)
            throw error
        }
    }

    private static func close(_ database: PostgresPool, _ redis: RedisClient) async {
        await Task {  // also for a caller that is cancelled
            await redis.close()
            await database.close()
        }.value
    }

    /// What every process that answers calls needs, in order of start.
    func gatewayServices(
        drain: Duration, onRunning: @escaping @Sendable (_ url: String) async -> Void
    ) throws -> [any Service] {
        var executions = ExecutionConfiguration(gatewayID: name, provider: settings.provider)
        executions.startTimeout = settings.startTimeout
        executions.runner = runnerFiles
        executions.observer = registry.executionObserver()
        let execution = ExecutionService(
            fleet: fleet, runtimes: try RuntimeCatalog(directory: settings.runtimes), configuration: executions,
            logger: Logger(label: "martlet.execution"))
        var configuration = GatewayConfiguration(host: settings.host, port: settings.port)
        configuration.provider = settings.provider
        configuration.providers = settings.providers
        configuration.drainTimeout = drain
        configuration.catalog = VMProviders.catalog(settings, logger: Logger(label: "martlet.provider"))
        configuration.trpc.allowedOrigins = settings.allowedOrigins
        configuration.trpc.allowsMethodOverride = settings.methodOverride
        configuration.rateLimits = try settings.gatewayRateLimits
        configuration.metricsAccess = try settings.gatewayMetrics
        configuration.pages = try pageFiles
        registry.collect(from: execution)
        let gateway = GatewayService(
            execution: execution, fleet: fleet, configuration: configuration, registry: registry,
            logger: Logger(label: "martlet.gateway")
        ) { port in
            await onRunning(url(port: port))
        }
        return [Background { try await execution.run() }, gateway]
    }

    func worker() throws -> any Service {
        let seconds = MeasuredProvider.seconds(in: registry)
        let providers = try VMProviders.makeAll(settings, logger: Logger(label: "martlet.provider"))
            .map { MeasuredProvider($0, seconds) }
        var configuration = settings.worker.workerConfiguration(name: name)
        if providers.contains(where: { !$0.kind.bringsRunner }) { configuration.runner = runnerFiles }
        let worker = WorkerService(
            fleet: fleet, providers: try ProviderSet(providers[0], Array(providers.dropFirst())),
            configuration: configuration, metrics: WorkerMetrics(in: registry), logger: Logger(label: "martlet.worker"))
        return Work { try await worker.run() }
    }

    private var pageFiles: PageFiles {
        get throws {
            do {
                let files = try PageFiles(directory: settings.pages)
                if !files.missing.isEmpty {
                    Logger(label: "martlet.gateway").warning(
                        "pages do without browser libraries that are not installed",
                        metadata: ["packages": "\(files.missing.map(\.rawValue).joined(separator: " "))"])
                }
                return files
            } catch {
                throw OperatorError(
                    .invalidSetting, "The pages in '\(settings.pages)' cannot be read: \(error)",
                    hint: "They belong to the program: run it where 'make install' put it, or from the source tree.")
            }
        }
    }

    private var runnerFiles: RunnerFiles {
        RunnerFiles(program: settings.runner, runtimes: settings.runtimes)
    }

    /// `/metrics` for a process that has no gateway.
    func metrics(
        port: Int, onRunning: @escaping @Sendable (_ url: String) async -> Void
    ) throws -> any Service {
        MetricsService(
            host: settings.host, port: port, access: try settings.gatewayMetrics, registry: registry,
            authenticate: { [fleet] in try await fleet.authenticator.authenticate($0) },
            logger: Logger(label: "martlet.metrics")
        ) { port in await onRunning(url(port: port)) }
    }

    func pendingMigrations() async throws -> [String] {
        try await Migrator(pool: fleet.database, migrations: Fleet.migrations).pending().map(\.name)
    }

    /// Revocations of tokens reach this process through it.
    var authenticator: any Service {
        Background { [fleet] in try await fleet.authenticator.run() }
    }

    /// A listener on all addresses is called at this machine's own.
    private func url(port: Int) -> String {
        switch settings.host {
        case "0.0.0.0", "::": "http://127.0.0.1:\(port)"
        case let host where host.contains(":"): "http://[\(host)]:\(port)"
        default: "http://\(settings.host):\(port)"
        }
    }

    /// A group that ends as a whole when one of its services fails, and gracefully in reverse order.
    static func group(_ services: [any Service], logger: Logger) -> ServiceGroup {
        ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map {
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: $0, successTerminationBehavior: .ignore, failureTerminationBehavior: .cancelGroup)
                }, logger: logger))
    }
}

/// The providers there are.
enum VMProviders {
    /// Those of the settings, in their order.
    static func makeAll(_ settings: Settings, logger: Logger) throws -> [any VMProvider] {
        try settings.providers.map { try make($0, settings, logger: logger) }
    }

    static func make(_ name: String, _ settings: Settings, logger: Logger) throws -> any VMProvider {
        switch name {
        case ProviderKind.local.rawValue: return LocalProvider(configuration: local(settings), logger: logger)
        case ProviderKind.docker.rawValue: return DockerProvider(configuration: try docker(settings), logger: logger)
        case ProviderKind.ovh.rawValue:
            return OVHProvider(
                configuration: try ovh(settings), packages: OVHProvider.packages(of: settings.runtimes), logger: logger)
        default: throw unknown(name)
        }
    }

    /// Why the providers cannot work on this machine; empty if they can.
    static func diagnose(_ settings: Settings) async -> [String] {
        var problems: [String] = []
        for name in settings.providers { problems += await diagnose(name, settings) }
        return problems
    }

    private static func diagnose(_ name: String, _ settings: Settings) async -> [String] {
        switch name {
        case ProviderKind.local.rawValue: return await LocalProvider.diagnose(configuration: local(settings))
        case ProviderKind.ovh.rawValue: return await diagnoseOVH(settings)
        case ProviderKind.docker.rawValue:
            do {
                return await DockerProvider.diagnose(configuration: try docker(settings))
            } catch {
                return ["\(error.message) \(error.hint)"]
            }
        default: return [unknown(name).message]
        }
    }

    /// What a provider works with, in a line; nil if there is nothing to say.
    static func describe(_ kind: ProviderKind, _ settings: Settings) async -> String? {
        guard kind == .docker, let configuration = try? docker(settings) else {
            return nil
        }
        return await DockerProvider.describe(configuration: configuration)
    }

    static func engine(_ settings: DockerSettings) throws(ProviderError) -> EngineAddress {
        try EngineAddress(settings.host, isVerified: settings.isVerified, certificates: settings.certificates)
    }

    private static func docker(_ settings: Settings) throws(ProviderError) -> DockerProvider.Configuration {
        var configuration = DockerProvider.Configuration(engine: try engine(settings.docker))
        configuration.image = settings.docker.image
        configuration.address = settings.docker.address
        return configuration
    }

    private static func diagnoseOVH(_ settings: Settings) async -> [String] {
        do {
            return await OVHProvider.diagnose(
                configuration: try ovh(settings), logger: Logger(label: "martlet.provider"))
        } catch {
            return ["\(error)"]
        }
    }

    private static func ovh(_ settings: Settings) throws(OperatorError) -> OVHConfiguration {
        let given = try settings.ovh.complete()
        guard let endpoint = OVHEndpoint(given.endpoint) else {
            throw OperatorError(
                .invalidSetting, "'\(given.endpoint)' is no endpoint of OVH.",
                hint: "Set OVH_ENDPOINT to \(OVHEndpoint.names.keys.sorted().joined(separator: ", ")) or a URL.")
        }
        var configuration = OVHConfiguration(
            endpoint: endpoint,
            credentials: OVHCredentials(
                applicationKey: given.applicationKey, applicationSecret: given.applicationSecret,
                consumerKey: given.consumerKey),
            project: given.project, region: settings.ovh.region)
        configuration.sshPort = settings.ovh.sshPort
        return configuration
    }

    /// Why runs in VMs of this machine have no network; `nil` if those who may have it, or none are made here.
    static func diagnoseNetwork(_ settings: Settings) -> String? {
        settings.providers.contains("local") ? LocalProvider.diagnoseEgress(configuration: local(settings)) : nil
    }

    private static func local(_ settings: Settings) -> LocalProvider.Configuration {
        var configuration = LocalProvider.Configuration(
            stateDirectory: settings.dataDirectory.localProviderPath, runner: settings.runner,
            runtimes: settings.runtimes)
        configuration.egressDenied = settings.egressDenied
        return configuration
    }

    private static func unknown(_ name: String) -> OperatorError {
        OperatorError(
            .invalidSetting, "This version has no provider '\(name)'.",
            hint: "Use 'local', 'docker' or 'ovh', or leave it out.")
    }
}

extension WorkerSettings {
    fileprivate var fleetConfiguration: FleetConfiguration {
        var configuration = FleetConfiguration()
        configuration.jobs.provision = JobPolicy(attempts: jobAttempts.provision, backoff: jobBackoff.provision)
        configuration.jobs.control = JobPolicy(attempts: jobAttempts.control, backoff: jobBackoff.control)
        return configuration
    }

    fileprivate func workerConfiguration(name: String) -> WorkerConfiguration {
        var configuration = WorkerConfiguration(name: name)
        configuration.provisionConcurrency = provisionConcurrency
        configuration.controlConcurrency = controlConcurrency
        configuration.sweepInterval = sweepInterval
        configuration.reconcileInterval = reconcileInterval
        configuration.pruneInterval = pruneInterval
        configuration.executionsKept = executionRetention
        configuration.auditKept = auditRetention
        configuration.uptimeKept = uptimeRetention
        configuration.drainTimeout = drainTimeout
        return configuration
    }
}

extension Settings {
    /// Throws `invalid_setting` where what is set has another form.
    fileprivate var gatewayRateLimits: RateLimits {
        get throws(OperatorError) {
            guard let rateLimits else { return .standard }
            if let limits = RateLimits(rateLimits) { return limits }
            throw OperatorError(
                .invalidSetting, "'\(rateLimits)' are no rate limits.",
                hint: "MARTLET_RATE_LIMITS is 'off', or requests a minute: 'free=300,pro=3000,unlimited=off'.")
        }
    }

    fileprivate var gatewayMetrics: MetricsAccess {
        get throws(OperatorError) {
            guard let metrics else { return .loopback }
            if let access = MetricsAccess(rawValue: metrics) { return access }
            throw OperatorError(
                .invalidSetting, "'\(metrics)' says nothing of who may read the metrics.",
                hint: "MARTLET_METRICS is one of: \(MetricsAccess.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
    }
}
