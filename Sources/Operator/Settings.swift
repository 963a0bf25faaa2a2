import Foundation
package import Logging

/// What a server command runs with, after flags, environment, configuration file and defaults in this order.
package struct Settings: Sendable {
    package var host: String
    package var port: Int
    package var dataDirectory: DataDirectory
    package var databaseURL: String?  // nil: embedded
    package var redisURL: String?  // nil: embedded
    package var providers: [String]  // never empty; the first makes new VMs
    package var runner: String  // the program inside each VM
    package var egressDenied: [String]  // ranges of addresses that no run reaches, beside those that none ever does
    package var runtimes: String  // the directory of languages
    package var pages: String  // the directory of what pages are made of
    package var attacks: String  // that of the attacks on the walls around runs
    package var docker: DockerSettings
    package var masterKey: String?  // 64 hexadecimal digits; nil: from the file
    package var masterKeyFile: String
    package var startTimeout: Duration  // how long a call waits for its VM to start
    package var allowedOrigins: Set<String>  // whose pages may call tRPC from a browser
    package var methodOverride: Bool  // whether tRPC takes queries by POST
    package var rateLimits: String?  // nil: the gateway's own figures
    package var metrics: String?  // who may read /metrics; nil: as the gateway says
    package var logLevel: Logger.Level?  // nil: the command's own
    package var logFormat: LogFormat
    package var ovh: OVHSettings
    package var worker: WorkerSettings

    package static let defaultPort = 4_610

    package init(
        flags: SettingsLayer, configurationFile: String?,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(OperatorError) {
        let layers = [
            flags, try SettingsLayer(environment: environment), try SettingsLayer(file: configurationFile),
        ]
        func first<Value>(_ key: KeyPath<SettingsLayer, Value?>) -> Value? {
            for layer in layers { if let value = layer[keyPath: key] { return value } }
            return nil
        }
        host = first(\.host) ?? "127.0.0.1"
        port = first(\.port) ?? Self.defaultPort
        guard (0...65_535).contains(port) else {
            throw OperatorError(.invalidSetting, "\(port) is no port.", hint: "Give one from 0 (any free) to 65535.")
        }
        dataDirectory = DataDirectory(
            path: first(\.dataDirectory) ?? DataDirectory.standardPath(environment), environment: environment)
        databaseURL = first(\.databaseURL)
        redisURL = first(\.redisURL)
        providers = try Self.names(of: first(\.provider) ?? "local")
        let place = Self.installedFiles()
        runner = first(\.runner) ?? place.runner
        egressDenied = first(\.egressDenied) ?? []
        runtimes = first(\.runtimes) ?? place.runtimes
        pages = place.pages
        attacks = place.attacks
        docker = DockerSettings(
            host: first(\.dockerHost) ?? DockerSettings.standardHost,
            isVerified: first(\.dockerTLSVerify).map { !["", "0", "false"].contains($0) } ?? false,
            certificates: first(\.dockerCertificates) ?? DockerSettings.standardCertificates(environment),
            address: first(\.dockerAddress) ?? "127.0.0.1", image: first(\.image) ?? DockerSettings.standardImage)
        masterKey = first(\.masterKey)
        masterKeyFile = first(\.masterKeyFile) ?? dataDirectory.masterKeyPath
        ovh = try OVHSettings(layers)
        worker = try WorkerSettings(layers)
        // An instance of OVH takes a minute to boot.
        let seconds = first(\.startTimeout) ?? (providers.contains("ovh") ? 300 : 60)
        guard (0.001...86_400).contains(seconds) else {
            throw OperatorError(
                .invalidSetting, "A start timeout of \(seconds) s is out of range.", hint: "Give 0.001 to 86400.")
        }
        startTimeout = .milliseconds(Int(seconds * 1_000))
        allowedOrigins = first(\.allowedOrigins) ?? []
        methodOverride = first(\.methodOverride) ?? false
        rateLimits = first(\.rateLimits)
        metrics = first(\.metrics)
        logFormat = first(\.logFormat) ?? .automatic
        logLevel = first(\.logLevel)
    }

    /// What makes VMs where nobody says what.
    package var provider: String { providers[0] }

    /// `local,docker`, each once.
    private static func names(of list: String) throws(OperatorError) -> [String] {
        let names = list.split(separator: ",", omittingEmptySubsequences: false)
            .map { $0.trimmingCharacters(in: .whitespaces) }
        guard names.allSatisfy({ !$0.isEmpty }), Set(names).count == names.count else {
            throw OperatorError(
                .invalidSetting, "'\(list)' is no list of providers.",
                hint: "Name each once, with commas between, the one for new VMs first: 'local,docker'.")
        }
        return names
    }

    /// The runner, the runtimes, the pages and the attacks belong to the program: installed they are under the same prefix
    /// (`bin/martlet`, `libexec/martlet/martlet-runner`, `share/martlet/runtimes`), in a source tree where the build
    /// leaves them (`.build/<triple>/release/martlet`, `.build/sandbox/martlet-runner`, `runtimes`, `sandbox/attacks`).
    private static func installedFiles() -> (runner: String, runtimes: String, pages: String, attacks: String) {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "/"
        let directory = URL(filePath: program).deletingLastPathComponent()
        func beside(_ path: String) -> String {
            directory.appending(path: path).standardizedFileURL.path(percentEncoded: false)
        }
        let candidates = [
            (
                beside("../libexec/martlet/martlet-runner"), beside("../share/martlet/runtimes"),
                beside("../share/martlet/pages"), beside("../share/martlet/attacks")
            ),
            (
                beside("../../sandbox/martlet-runner"), beside("../../../runtimes"),
                beside("../../../Sources/Gateway/Pages/Resources"), beside("../../../sandbox/attacks")
            ),
        ]
        return candidates.first { FileManager.default.fileExists(atPath: $0.1) } ?? candidates[0]
    }
}

/// How the provider `docker` reaches its engine, and what it makes VMs of.
package struct DockerSettings: Sendable {
    package static let standardHost = "unix:///var/run/docker.sock"
    package static let standardImage = "martlet/vm:latest"

    package var host: String  // as in DOCKER_HOST
    package var isVerified: Bool  // by TLS, with certificates of both sides
    package var certificates: String  // a directory
    package var address: String  // IPv4, of the engine's machine, where SSH ports are published
    package var image: String

    static func standardCertificates(_ environment: [String: String]) -> String {
        "\(environment["HOME"] ?? NSHomeDirectory())/.docker"
    }
}

/// One source of settings; what it does not say is nil.
package struct SettingsLayer: Sendable {
    package var host: String?
    package var port: Int?
    package var dataDirectory: String?
    package var databaseURL: String?
    package var redisURL: String?
    package var provider: String?
    package var runner: String?
    package var egressDenied: [String]?
    package var runtimes: String?
    package var dockerHost: String?
    package var dockerTLSVerify: String?  // as the docker command has it: anything but nothing
    package var dockerCertificates: String?
    package var dockerAddress: String?
    package var image: String?
    package var masterKey: String?
    package var masterKeyFile: String?
    package var startTimeout: Double?  // seconds
    package var allowedOrigins: Set<String>?
    package var methodOverride: Bool?
    package var rateLimits: String?
    package var metrics: String?
    package var logLevel: Logger.Level?
    package var logFormat: LogFormat?
    package var ovhEndpoint: String?
    package var ovhApplicationKey: String?
    package var ovhApplicationSecret: String?
    package var ovhConsumerKey: String?
    package var ovhProject: String?
    package var ovhRegion: String?
    package var ovhSSHPort: Int?
    package var worker = WorkerLayer()

    package init() {}

    /// `$XDG_CONFIG_HOME/martlet/config.json`, else `~/.config/martlet/config.json`.
    package static func standardFile(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
        if let directory = environment["XDG_CONFIG_HOME"], directory.hasPrefix("/") {
            return "\(directory)/martlet/config.json"
        }
        return "\(environment["HOME"] ?? NSHomeDirectory())/.config/martlet/config.json"
    }

    package init(environment: [String: String]) throws(OperatorError) {
        try read { key in
            guard let text = environment[key.variable], !text.isEmpty else { return nil }
            return (text, "environment variable \(key.variable)")
        }
    }

    /// Nil or a standard file that is missing says nothing. A key that is not known is refused: it is a mistake, and
    /// silence would hide it.
    package init(file: String?) throws(OperatorError) {
        guard let file, FileManager.default.fileExists(atPath: file) else { return }
        var object: [String: Any] = [:]
        do {
            let data = try Data(contentsOf: URL(filePath: file))
            object = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? ["": ""]
        } catch {
            throw OperatorError(
                .invalidSetting, "'\(file)' is not JSON: \(error.localizedDescription)",
                hint: "It holds one object, for example {\"port\": 8080}.")
        }
        if let unknown = object.keys.first(where: { Key(rawValue: $0) == nil }) {
            throw OperatorError(
                .invalidSetting, "'\(file)' sets '\(unknown)', which there is no setting of.",
                hint: "The settings are: \(Key.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        try read { key in
            switch object[key.rawValue] {
            case let text as String: (text, "'\(key.rawValue)' in '\(file)'")
            case let number as NSNumber: (number.description, "'\(key.rawValue)' in '\(file)'")
            case nil: nil
            default: ("?", "'\(key.rawValue)' in '\(file)'")
            }
        }
    }

    private enum Key: String, CaseIterable {
        case host, port, dataDirectory, databaseURL, redisURL, provider, runner, runtimes, egressDenied, masterKey,
            masterKeyFile
        case startTimeout, allowedOrigins, methodOverride, rateLimits, metrics, logLevel, logFormat
        case dockerHost, dockerTLSVerify, dockerCertPath, dockerAddress, image
        case ovhEndpoint, ovhApplicationKey, ovhApplicationSecret, ovhConsumerKey, ovhProject, ovhRegion, ovhSSHPort
        case provisionConcurrency, controlConcurrency, jobAttempts, jobBackoff
        case sweepInterval, reconcileInterval, pruneInterval, drainTimeout
        case executionRetention, auditRetention, uptimeRetention

        var variable: String {
            switch self {
            case .host: "MARTLET_HOST"
            case .port: "MARTLET_PORT"
            case .dataDirectory: "MARTLET_DATA_DIR"
            case .databaseURL: "DATABASE_URL"
            case .redisURL: "REDIS_URL"
            case .provider: "VM_PROVIDER"
            case .runner: "MARTLET_RUNNER"
            case .egressDenied: "MARTLET_EGRESS_DENY"
            case .runtimes: "MARTLET_RUNTIMES"
            case .dockerHost: "DOCKER_HOST"
            case .dockerTLSVerify: "DOCKER_TLS_VERIFY"
            case .dockerCertPath: "DOCKER_CERT_PATH"
            case .dockerAddress: "MARTLET_DOCKER_ADDRESS"
            case .image: "MARTLET_IMAGE"
            case .masterKey: "MARTLET_MASTER_KEY"
            case .masterKeyFile: "MARTLET_MASTER_KEY_FILE"
            case .startTimeout: "MARTLET_START_TIMEOUT"
            case .allowedOrigins: "MARTLET_ALLOWED_ORIGINS"
            case .methodOverride: "MARTLET_METHOD_OVERRIDE"
            case .rateLimits: "MARTLET_RATE_LIMITS"
            case .metrics: "MARTLET_METRICS"
            case .logLevel: "MARTLET_LOG_LEVEL"
            case .logFormat: "MARTLET_LOG_FORMAT"
            case .ovhEndpoint: "OVH_ENDPOINT"
            case .ovhApplicationKey: "OVH_APPLICATION_KEY"
            case .ovhApplicationSecret: "OVH_APPLICATION_SECRET"
            case .ovhConsumerKey: "OVH_CONSUMER_KEY"
            case .ovhProject: "OVH_CLOUD_PROJECT_SERVICE"
            case .ovhRegion: "OVH_REGION"
            case .ovhSSHPort: "OVH_SSH_PORT"
            case .provisionConcurrency: "MARTLET_PROVISION_CONCURRENCY"
            case .controlConcurrency: "MARTLET_CONTROL_CONCURRENCY"
            case .jobAttempts: "MARTLET_JOB_ATTEMPTS"
            case .jobBackoff: "MARTLET_JOB_BACKOFF"
            case .sweepInterval: "MARTLET_SWEEP_INTERVAL"
            case .reconcileInterval: "MARTLET_RECONCILE_INTERVAL"
            case .pruneInterval: "MARTLET_PRUNE_INTERVAL"
            case .drainTimeout: "MARTLET_DRAIN_TIMEOUT"
            case .executionRetention: "MARTLET_EXECUTION_RETENTION"
            case .auditRetention: "MARTLET_AUDIT_RETENTION"
            case .uptimeRetention: "MARTLET_UPTIME_RETENTION"
            }
        }
    }

    /// All variables of the environment that are read.
    package static var variables: [String] { Key.allCases.map(\.variable) }

    private mutating func read(_ value: (Key) -> (text: String, place: String)?) throws(OperatorError) {
        for key in Key.allCases {
            guard let (text, place) = value(key) else { continue }
            func count() throws(OperatorError) -> Int { try Self.parse(text, place, "a whole number") { Int($0) } }
            func seconds() throws(OperatorError) -> Double {
                try Self.parse(text, place, "a number of seconds") { Double($0) }
            }
            switch key {
            case .host: host = text
            case .port: port = try Self.parse(text, place, "a port") { Int($0) }
            case .dataDirectory: dataDirectory = text
            case .databaseURL: databaseURL = text
            case .redisURL: redisURL = text
            case .provider: provider = text
            case .runner: runner = text
            case .egressDenied:
                egressDenied = try Self.parse(
                    text, place, "a list of at most 40 ranges of addresses like '203.0.113.0/24,2001:db8::/32'",
                    Self.ranges)
            case .runtimes: runtimes = text
            case .dockerHost: dockerHost = text
            case .dockerTLSVerify: dockerTLSVerify = text
            case .dockerCertPath: dockerCertificates = text
            case .dockerAddress: dockerAddress = text
            case .image: image = text
            case .masterKey: masterKey = text
            case .masterKeyFile: masterKeyFile = text
            case .rateLimits: rateLimits = text
            case .metrics: metrics = text
            case .startTimeout: startTimeout = try seconds()
            case .allowedOrigins:
                allowedOrigins = try Self.parse(text, place, "a list of origins like 'https://app.example'") {
                    (text) -> Set<String>? in
                    let origins = text.split(separator: ",").map { $0.filter { $0 != " " } }
                    let areOrigins = origins.allSatisfy { $0.wholeMatch(of: /https?:\/\/[^\/\s]+/) != nil }
                    return areOrigins ? Set(origins) : nil
                }
            case .methodOverride:
                methodOverride = try Self.parse(text, place, "true or false") { (text) -> Bool? in
                    ["true": true, "1": true, "false": false, "0": false][text]
                }
            case .logLevel: logLevel = try Self.parse(text, place, "a log level") { Logger.Level(rawValue: $0) }
            case .ovhEndpoint: ovhEndpoint = text
            case .ovhApplicationKey: ovhApplicationKey = text
            case .ovhApplicationSecret: ovhApplicationSecret = text
            case .ovhConsumerKey: ovhConsumerKey = text
            case .ovhProject: ovhProject = text
            case .ovhRegion: ovhRegion = text
            case .ovhSSHPort: ovhSSHPort = try Self.parse(text, place, "a port") { Int($0) }
            case .provisionConcurrency: worker.provisionConcurrency = try count()
            case .controlConcurrency: worker.controlConcurrency = try count()
            case .jobAttempts: worker.jobAttempts = text
            case .jobBackoff: worker.jobBackoff = text
            case .sweepInterval: worker.sweepInterval = try seconds()
            case .reconcileInterval: worker.reconcileInterval = try seconds()
            case .pruneInterval: worker.pruneInterval = try seconds()
            case .drainTimeout: worker.drainTimeout = try seconds()
            case .executionRetention: worker.executionRetention = text
            case .auditRetention: worker.auditRetention = text
            case .uptimeRetention: worker.uptimeRetention = text
            case .logFormat: logFormat = try Self.parse(text, place, "a log format") { LogFormat(rawValue: $0) }
            }
        }
    }

    /// IPv4 or IPv6, each an address or a prefix.
    private static func ranges(_ text: String) -> [String]? {
        let ranges = text.split(separator: ",").map { $0.filter { $0 != " " } }
        let areRanges = ranges.allSatisfy { range in
            let parts = range.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            var bytes = in6_addr()
            let isFour = inet_pton(AF_INET, parts[0], &bytes) == 1
            guard isFour || inet_pton(AF_INET6, parts[0], &bytes) == 1 else { return false }
            return parts.count == 1 || (0...(isFour ? 32 : 128)).contains(UInt8(parts[1]).map(Int.init) ?? -1)
        }
        return areRanges && ranges.count <= 40 ? ranges : nil
    }

    private static func parse<Value>(
        _ text: String, _ place: String, _ what: String, _ read: (String) -> Value?
    ) throws(OperatorError) -> Value {
        if let value = read(text) { return value }
        throw OperatorError(.invalidSetting, "\(place) is not \(what).", hint: "See 'martlet up --help'.")
    }
}
