/// Which statements a session has prepared: at most ``capacity``, the least recently used leaving first. A value; the
/// connection sends what it decides.
struct StatementCache {
    private struct Entry {
        let name: String
        var used: Int
    }
    private let capacity: Int
    private var entries: [String: Entry] = [:]
    private var clock = 0
    private var lastNumber = 0

    /// Names of statements that left and still have to be deallocated in the session.
    private(set) var evicted: [String] = []

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { entries.count }

    /// The name under which `text` is prepared, and whether it has yet to be.
    mutating func name(for text: String) -> (name: String, isNew: Bool) {
        clock += 1
        if let name = entries[text]?.name {
            entries[text]?.used = clock
            return (name, false)
        }
        if entries.count >= capacity, let oldest = entries.min(by: { $0.value.used < $1.value.used }) {
            entries[oldest.key] = nil
            evicted.append(oldest.value.name)
        }
        lastNumber += 1
        let name = "m\(lastNumber)"
        entries[text] = Entry(name: name, used: clock)
        return (name, true)
    }

    /// The statement was not prepared after all, or is gone.
    mutating func forget(_ text: String) { entries[text] = nil }

    /// The statement is prepared but of no use any more.
    mutating func evict(_ text: String) {
        if let entry = entries.removeValue(forKey: text) { evicted.append(entry.name) }
    }

    mutating func takeEvicted() -> [String] {
        defer { evicted = [] }
        return evicted
    }
}
