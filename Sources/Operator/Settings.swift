import Foundation
package import Logging

/// What a server command runs with, after flags, environment, configuration file and defaults in this order.
package struct Settings: Sendable {
    package var host: String
    package var port: Int
    package var dataDirectory: DataDirectory
    package var databaseURL: String?  // nil: embedded
    package var redisURL: String?  // nil: embedded
    package var provider: String
    package var runner: String  // the program inside each VM
    package var runtimes: String  // the directory of languages
    package var masterKey: String?  // 64 hexadecimal digits; nil: from the file
    package var masterKeyFile: String
    package var startTimeout: Duration  // how long a call waits for its VM to start
    package var rateLimits: String?  // nil: the gateway's own figures
    package var metrics: String?  // who may read /metrics; nil: as the gateway says
    package var logLevel: Logger.Level?  // nil: the command's own
    package var logFormat: LogFormat

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
        provider = first(\.provider) ?? "local"
        let place = Self.installedFiles()
        runner = first(\.runner) ?? place.runner
        runtimes = first(\.runtimes) ?? place.runtimes
        masterKey = first(\.masterKey)
        masterKeyFile = first(\.masterKeyFile) ?? dataDirectory.masterKeyPath
        let seconds = first(\.startTimeout) ?? 60
        guard (0.001...86_400).contains(seconds) else {
            throw OperatorError(
                .invalidSetting, "A start timeout of \(seconds) s is out of range.", hint: "Give 0.001 to 86400.")
        }
        startTimeout = .milliseconds(Int(seconds * 1_000))
        rateLimits = first(\.rateLimits)
        metrics = first(\.metrics)
        logFormat = first(\.logFormat) ?? .automatic
        logLevel = first(\.logLevel)
    }

    /// The runner and the runtimes belong to the program: installed they are under the same prefix
    /// (`bin/martlet`, `libexec/martlet/martlet-runner`, `share/martlet/runtimes`), in a source tree where the build
    /// leaves them (`.build/<triple>/release/martlet`, `.build/sandbox/martlet-runner`, `runtimes`).
    private static func installedFiles() -> (runner: String, runtimes: String) {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "/"
        let directory = URL(filePath: program).deletingLastPathComponent()
        func beside(_ path: String) -> String {
            directory.appending(path: path).standardizedFileURL.path(percentEncoded: false)
        }
        let candidates = [
            (beside("../libexec/martlet/martlet-runner"), beside("../share/martlet/runtimes")),
            (beside("../../sandbox/martlet-runner"), beside("../../../runtimes")),
        ]
        return candidates.first { FileManager.default.fileExists(atPath: $0.1) } ?? candidates[0]
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
    package var runtimes: String?
    package var masterKey: String?
    package var masterKeyFile: String?
    package var startTimeout: Double?  // seconds
    package var rateLimits: String?
    package var metrics: String?
    package var logLevel: Logger.Level?
    package var logFormat: LogFormat?

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
        case host, port, dataDirectory, databaseURL, redisURL, provider, runner, runtimes, masterKey, masterKeyFile
        case startTimeout, rateLimits, metrics, logLevel, logFormat

        var variable: String {
            switch self {
            case .host: "MARTLET_HOST"
            case .port: "MARTLET_PORT"
            case .dataDirectory: "MARTLET_DATA_DIR"
            case .databaseURL: "DATABASE_URL"
            case .redisURL: "REDIS_URL"
            case .provider: "VM_PROVIDER"
            case .runner: "MARTLET_RUNNER"
            case .runtimes: "MARTLET_RUNTIMES"
            case .masterKey: "MARTLET_MASTER_KEY"
            case .masterKeyFile: "MARTLET_MASTER_KEY_FILE"
            case .startTimeout: "MARTLET_START_TIMEOUT"
            case .rateLimits: "MARTLET_RATE_LIMITS"
            case .metrics: "MARTLET_METRICS"
            case .logLevel: "MARTLET_LOG_LEVEL"
            case .logFormat: "MARTLET_LOG_FORMAT"
            }
        }
    }

    private mutating func read(_ value: (Key) -> (text: String, place: String)?) throws(OperatorError) {
        for key in Key.allCases {
            guard let (text, place) = value(key) else { continue }
            switch key {
            case .host: host = text
            case .port: port = try Self.parse(text, place, "a port") { Int($0) }
            case .dataDirectory: dataDirectory = text
            case .databaseURL: databaseURL = text
            case .redisURL: redisURL = text
            case .provider: provider = text
            case .runner: runner = text
            case .runtimes: runtimes = text
            case .masterKey: masterKey = text
            case .masterKeyFile: masterKeyFile = text
            case .rateLimits: rateLimits = text
            case .metrics: metrics = text
            case .startTimeout: startTimeout = try Self.parse(text, place, "a number of seconds") { Double($0) }
            case .logLevel: logLevel = try Self.parse(text, place, "a log level") { Logger.Level(rawValue: $0) }
            case .logFormat: logFormat = try Self.parse(text, place, "a log format") { LogFormat(rawValue: $0) }
            }
        }
    }

    private static func parse<Value>(
        _ text: String, _ place: String, _ what: String, _ read: (String) -> Value?
    ) throws(OperatorError) -> Value {
        if let value = read(text) { return value }
        throw OperatorError(.invalidSetting, "\(place) is not \(what).", hint: "See 'martlet up --help'.")
    }
}
