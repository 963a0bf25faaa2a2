import Cryptography
import EventLoop
import Foundation
import HTTPTransport
import Logging
import SSH
import TestSupport
import Testing

@testable import Providers

/// Everything that needs the engine: it is started once for all.
@Suite(LiveDocker(), .timeLimit(.minutes(20))) enum Docker {}

/// A provider on the suite's engine, and keys for the VMs made by ``spec(_:)``. When the closure has ended all VMs are
/// destroyed, and nothing of them may be left in the engine.
struct DockerBed: Sendable {
    let provider: DockerProvider
    let key: SSHKeyPair
    let engine: DockerEngine
    private let hostKeys = HostKeys()

    private actor HostKeys {
        var specs: [String: VMSpec] = [:]
        func keep(_ spec: VMSpec) { specs[spec.name] = spec }
    }

    static func run(
        _ change: (inout DockerProvider.Configuration) -> Void = { _ in }, _ body: (DockerBed) async throws -> Void
    ) async throws {
        let engine = LiveDocker.engine
        var configuration = DockerProvider.Configuration(engine: try EngineAddress(engine.host))
        change(&configuration)
        let bed = DockerBed(
            provider: DockerProvider(configuration: configuration, logger: Logger(label: "martlet.test")),
            key: try SSHKeyPair.generate(comment: "test"), engine: engine)
        do { try await body(bed) } catch { Issue.record(error) }
        for vm in try await bed.provider.list() { try await bed.provider.destroy(vm.id) }
        #expect(try await bed.traces().isEmpty)
        try await engine.removeEverything()
    }

    /// Another process's view of the same engine.
    func other(_ change: (inout DockerProvider.Configuration) -> Void = { _ in }) -> DockerProvider {
        var configuration = provider.configuration
        change(&configuration)
        return DockerProvider(configuration: configuration, logger: Logger(label: "martlet.test"))
    }

    /// What of VMs is left in the engine.
    func traces() async throws -> [String] {
        let containers = try await engine.call("GET", "/containers/json?all=1").text
        let volumes = try await provider.engine.volumes(label: Blueprint.Label.managed).map(\.name)
        return (containers.trimmingCharacters(in: .whitespacesAndNewlines) == "[]" ? [] : [containers]) + volumes
    }

    func spec(_ name: String, network: Bool = false) async throws -> VMSpec {
        let spec = VMSpec(
            name: name, vcpus: 1, memoryMb: 512, diskMb: 256, processes: 100, network: network,
            authorizedKeys: [key.publicKey], hostKey: try SSHKeyPair.generate(comment: name),
            runnerSecret: try Random.hex(32))
        await hostKeys.keep(spec)
        return spec
    }

    func running(_ name: String, network: Bool = false) async throws -> (vm: VMInstance, endpoint: VMEndpoint) {
        let vm = try await provider.create(spec(name, network: network), log: .none)
        return (vm, try await provider.start(vm.id))
    }

    /// Logs in as Martlet does, with the host key pinned.
    func session<R>(
        _ name: String, _ endpoint: VMEndpoint, as key: SSHKeyPair? = nil, _ body: (SSHSession) async throws -> R
    ) async throws -> R {
        let spec = try #require(await hostKeys.specs[name])
        let session = try await SSHSession.connect(
            to: SSHEndpoint(
                host: endpoint.host, port: endpoint.port, user: endpoint.user,
                privateKey: (key ?? self.key).privateKey, hostKey: spec.hostKey.publicKey),
            logger: Logger(label: "martlet.test"))
        do {
            let result = try await body(session)
            await session.close()
            return result
        } catch {
            await session.close()
            throw error
        }
    }

    /// What a command prints on both streams, and its status.
    func ssh(_ name: String, _ endpoint: VMEndpoint, _ command: String) async throws -> (text: String, status: Int32?) {
        try await session(name, endpoint) { session in
            let result = try await session.exec(command)
            let text = String(decoding: result.output + result.error, as: UTF8.self)
            return (text.trimmingCharacters(in: .newlines), result.status)
        }
    }

    /// What the runner answers, its frames made readable.
    func ask(_ name: String, _ endpoint: VMEndpoint, _ request: [String: Any]) async throws -> String {
        let spec = try #require(await hostKeys.specs[name])
        let whole = request.merging(["secret": spec.runnerSecret]) { own, _ in own }
        let payload = [UInt8](try JSONSerialization.data(withJSONObject: whole))
        let header = [1] + withUnsafeBytes(of: UInt32(payload.count).littleEndian) { Array($0) }
        return try await session(name, endpoint) { session in
            let channel = try await session.openDirectTCPIP(host: "127.0.0.1", port: endpoint.runnerPort)
            try await channel.write(header + payload)
            var answer: [UInt8] = []
            while let bytes = try await channel.read() { answer += bytes }
            return String(decoding: answer.map { (0x20..<0x7f).contains($0) ? $0 : 0x20 }, as: UTF8.self)
        }
    }

    func inspect(_ name: String) async throws -> String {
        try await engine.call("GET", "/containers/\(name)/json").text
    }
}

/// Collects what a person is told.
actor Told {
    private(set) var lines: [String] = []
    func add(_ line: String) { lines.append(line) }
    nonisolated var log: ProvisionLog { ProvisionLog { level, text in await self.add("\(level.rawValue): \(text)") } }
}
