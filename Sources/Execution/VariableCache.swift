import Fleet
import Synchronization

/// What environments give to everything that runs in them, kept so that a warm call needs no look into the database.
///
/// An entry is good for one version of the setup; the environment's row, which every call reads anyway, says which
/// version there is. Values are secret: nothing here describes or logs them.
final class VariableCache: Sendable {
    private struct Entry {
        let version: Int
        let variables: [String: String]
    }

    /// At most so many environments, of at most 64 KiB each; beyond, all are asked for again.
    private static let capacity = 1_024

    private let entries = Mutex<[EnvironmentID: Entry]>([:])

    /// The environment's variables, by `load` if the version is not the one that is kept.
    func variables(
        of environment: Environment, by load: (EnvironmentID) async throws -> [String: String]
    ) async throws -> [String: String] {
        if environment.variableNames.isEmpty { return [:] }
        let kept = entries.withLock { $0[environment.id] }
        if let kept, kept.version == environment.setupVersion { return kept.variables }
        let variables = try await load(environment.id)
        entries.withLock { entries in
            if entries.count >= Self.capacity { entries.removeAll() }
            entries[environment.id] = Entry(version: environment.setupVersion, variables: variables)
        }
        return variables
    }
}
