package import Fleet
import Foundation
import Logging
import SSH
import Synchronization

/// What the runner of one VM, in one of its lives, has said of its runtimes.
struct RuntimeAvailability: Sendable {
    struct Runtime: Sendable, Decodable {
        var name: String
        var version: String?
        var available: Bool
        var missing: [String]?
    }
    var generation: Int
    var runtimes: [String: Runtime]
}

extension ExecutionService {
    /// The languages there are. Version and availability are those of the caller's VM, asked when it runs; `nil`
    /// while it has never been asked. Does not wake it.
    package func runtimes(for caller: Caller) async throws -> [RuntimeDescription] {
        var known: [String: RuntimeAvailability.Runtime] = [:]
        if let environment = try await fleet.environments.userVM(of: caller.userID) {
            known = await availability(in: environment)?.runtimes ?? [:]
        }
        return catalog.runtimes.map { runtime in
            let said = known[runtime.name]
            return RuntimeDescription(
                name: runtime.name, title: runtime.title, aliases: runtime.aliases, extensions: runtime.extensions,
                version: said?.version, available: said?.available, missing: said?.missing ?? [])
        }
    }

    private func availability(in environment: Environment) async -> RuntimeAvailability? {
        let known = availability.withLock { $0[environment.id] }
        if let known, known.generation == environment.generation { return known }
        guard environment.state == .running else { return known }
        do {
            let said: [RuntimeAvailability.Runtime] = try await withRunner(of: environment) { session in
                struct Answer: Decodable { var runtimes: [RuntimeAvailability.Runtime] }
                let answer: Answer = try await Self.ask("runtimes", session)
                return answer.runtimes
            }
            let fresh = RuntimeAvailability(
                generation: environment.generation,
                runtimes: Dictionary(said.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first }))
            availability.withLock { all in
                if all.count >= 1_024 { all.removeAll() }  // only a cache: asked again when needed
                all[environment.id] = fresh
            }
            return fresh
        } catch {
            logger.info(
                "runtimes of a VM not learned",
                metadata: ["environment": "\(environment.id)", "error": "\(error)"])
            return known
        }
    }

    /// Whether the runner of a running VM answers, and what it says of itself: JSON. Throws `vm_unreachable`.
    package func ping(_ environment: Environment) async throws -> [String: String] {
        struct Answer: Decodable {
            var version: String
            var uptimeMs: Double
        }
        do {
            let answer: Answer = try await withRunner(of: environment) { try await Self.ask("ping", $0) }
            return ["version": answer.version, "uptimeMs": String(Int(answer.uptimeMs))]
        } catch let error as VMUnreachable {
            throw error.serviceError(environment)
        }
    }

    private static func ask<Answer: Decodable>(_ operation: String, _ session: VMSession) async throws -> Answer {
        let connection = session.connection
        let runner = try await RunnerConnection.open(
            .init(secret: connection.runnerSecret, op: operation), port: connection.runnerPort, on: session.ssh)
        defer { runner.abandon() }
        var text: [UInt8] = []
        try await runner.receive { message in
            switch message {
            case .output(.stdout, let bytes):
                guard text.count + bytes.count <= 1 << 20 else {
                    throw RunnerProtocolError(description: "an answer of over 1 MiB to '\(operation)'")
                }
                text += bytes
            case .refused(let code, let message):
                throw RunnerProtocolError(description: "'\(operation)' refused, \(code): \(message)")
            case .started, .output(.stderr, _), .stdinCredit, .exit: break
            }
        }
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(text))
        } catch {
            throw RunnerProtocolError(description: "the answer to '\(operation)' does not decode: \(error)")
        }
    }
}
