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
                version: said?.version, available: said?.available, missing: said?.missing ?? [],
                example: runtime.hello?.code)
        }
    }

    private func availability(in environment: Environment) async -> RuntimeAvailability? {
        let known = availability.withLock { $0[environment.id] }
        if let known, known.generation == environment.generation { return known }
        guard environment.state == .running else { return known }
        do {
            let said: [RuntimeAvailability.Runtime] = try await withRunner(of: environment) { session in
                struct Answer: Decodable { var runtimes: [RuntimeAvailability.Runtime] }
                let answer: Answer = try await RunnerConnection.ask("runtimes", of: session)
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
}
