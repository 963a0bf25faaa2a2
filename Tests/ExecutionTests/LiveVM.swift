import Cryptography
import Foundation
import PostgreSQL
import SSH
import TestSupport
import Testing

@testable import Execution
@testable import Fleet

/// An environment whose machine is an sshd and a runner on this one: all that executing needs, without a provider.
struct LiveVM {
    let fleet: Fleet
    let caller: Caller
    let environment: Environment
    let home: String

    /// Lends an environment made of `request` that runs.
    static func with(
        _ change: (inout EnvironmentRequest) -> Void = { _ in }, _ body: @Sendable (LiveVM) async throws -> Void
    ) async throws {
        var request = EnvironmentRequest(name: "box", provider: "local")
        change(&request)
        try await withFleet { [request] fleet, caller in
            try await RunnerServer.with { runner in
                try await SSHServer.with { server in
                    let made = try await fleet.environments.create(request, for: caller, requestID: "r")
                    let secrets = EnvironmentSecrets(
                        clientKey: SSHKeyPair(privateKey: server.endpoint.privateKey, publicKey: ""),
                        hostKey: SSHKeyPair(privateKey: "", publicKey: server.endpoint.hostKey),
                        runnerSecret: runner.secret)
                    let sealed = try fleet.environments.secretBox.seal(
                        Array(try JSONEncoder().encode(secrets)), context: "environment:\(made.id)")
                    try await fleet.database.execute(
                        "UPDATE dev_environments SET secrets = \(sealed) WHERE id = \(made.id)")
                    let running = try await fleet.environments.move(
                        made.id, from: made.state, generation: made.generation, to: .running,
                        change: EnvironmentChange(
                            providerInstanceID: "vm",
                            endpoint: EnvironmentEndpoint(
                                host: server.endpoint.host, port: server.endpoint.port, user: server.endpoint.user,
                                runnerPort: runner.port)),
                        actor: .worker("w"), action: "test")
                    try await body(
                        LiveVM(
                            fleet: fleet, caller: caller, environment: try #require(running), home: runner.home))
                }
            }
        }
    }

    /// A service as a gateway has it.
    func service() throws -> ExecutionService {
        ExecutionService(
            fleet: fleet, runtimes: try RuntimeCatalog(directory: RunnerServer.runtimes),
            configuration: ExecutionConfiguration(gatewayID: "g-\(UUID())", provider: "local"), logger: quiet)
    }

    /// What a snippet of bash prints, run in the environment of that name.
    func output(
        of code: String, on service: ExecutionService, in name: String? = nil, variables: [String: String] = [:],
        caller: Caller? = nil
    ) async throws -> String {
        var request = ExecutionRequest(code: Array(code.utf8), language: "bash")
        request.environment = name ?? environment.slug.rawValue
        request.environmentVariables = variables
        request.stdin = []
        return try await service.withExecution(request, caller: caller ?? self.caller, requestID: "r") { _, events in
            var output: [UInt8] = []
            for try await event in events {
                switch event {
                case .output(_, let bytes): output += bytes
                case .error(let error): throw error
                case .status, .started, .keepalive, .exit: break
                }
            }
            return String(decoding: output, as: UTF8.self)
        }
    }

    /// Gives the environment a repository that was not there when it was made.
    func set(_ repository: Repository) async throws {
        var setup = try await fleet.environments.setup(of: environment.id)
        setup.repository = repository
        let sealed = try fleet.environments.seal(setup, of: environment.id)
        try await fleet.database.execute("UPDATE dev_environments SET setup = \(sealed) WHERE id = \(environment.id)")
    }

    func setRunnerPort(_ port: Int) async throws {
        try await fleet.database.execute(
            "UPDATE dev_environments SET runner_port = \(port) WHERE id = \(environment.id)")
    }

    /// What lies in the home.
    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: home).sorted() }
}
