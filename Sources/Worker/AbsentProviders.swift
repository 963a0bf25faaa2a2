import Synchronization

/// The providers that jobs asked for and this process does not have: each is worth one line of the log.
final class AbsentProviders: Sendable {
    private let names = Mutex<Set<String>>([])

    /// Whether it is the first time.
    func note(_ name: String) -> Bool { names.withLock { $0.insert(name).inserted } }
}
