import Cryptography
import Foundation
import Logging
import OVHSimulator
import Synchronization
import Testing

@testable import Providers

/// A provider before a simulator of its own. On a simulated clock, where waiting costs nothing, unless said otherwise.
struct OVHBed: Sendable {
    let simulator: OVHSimulator
    let clock: SimulatedClock
    let configuration: OVHConfiguration
    let provider: OVHProvider
    let log: CapturedLog

    static func run(
        isClockReal: Bool = false, change: (inout OVHSimulator.Options) -> Void = { _ in },
        _ body: @escaping @Sendable (OVHBed) async throws -> Void
    ) async throws {
        let clock = SimulatedClock()
        var options = OVHSimulator.Options()
        options.guests = .greeting
        options.sshPort = 4_622
        options.clock = isClockReal ? ContinuousClock() : clock
        change(&options)
        try await OVHSimulator.withRunning(options) { simulator in
            var configuration = OVHConfiguration(
                endpoint: try #require(OVHEndpoint(simulator.url)),
                credentials: OVHCredentials(
                    applicationKey: simulator.applicationKey, applicationSecret: simulator.applicationSecret,
                    consumerKey: simulator.consumerKey),
                project: simulator.projectID, region: "GRA11")
            configuration.sshPort = simulator.sshPort
            configuration.requestTimeout = .seconds(5)
            if isClockReal {
                configuration.pollInterval = .milliseconds(20)
                configuration.requestsPerSecond = 1_000
            } else {
                configuration.clock = clock
            }
            let log = CapturedLog()
            try await body(
                OVHBed(
                    simulator: simulator, clock: clock, configuration: configuration,
                    provider: OVHProvider(configuration: configuration, logger: log.logger), log: log))
        }
    }

    /// Another worker's provider of the same project.
    func another(_ change: (inout OVHConfiguration) -> Void = { _ in }) -> OVHProvider {
        var configuration = configuration
        change(&configuration)
        return OVHProvider(configuration: configuration, logger: log.logger)
    }

    func spec(_ name: String = "mlt-1") throws -> VMSpec {
        VMSpec(
            name: name, vcpus: 2, memoryMb: 4_096, diskMb: 10_240, processes: 100,
            authorizedKeys: [try SSHKeyPair.generate(comment: "client").publicKey],
            hostKey: try SSHKeyPair.generate(comment: name), runnerSecret: try Random.hex(32))
    }

    static let orders = "POST /cloud/project/*/instance"
    func orders() async -> Int { await simulator.calls(Self.orders) }
}

/// Everything that was logged, as text.
final class CapturedLog: Sendable {
    private let lines = Mutex<[String]>([])
    var text: String { lines.withLock { $0.joined(separator: "\n") } }
    var logger: Logger { Logger(label: "martlet.test") { _ in Handler(log: self) } }

    private struct Handler: LogHandler {
        let log: CapturedLog
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            log.lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
        }
    }
}
