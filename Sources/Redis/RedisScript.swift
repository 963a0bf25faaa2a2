import Synchronization

/// A Lua script. Its digest is learned from the server at first use and holds for every server, being that of the
/// text. Make one per text and keep it, as a `static let`.
package final class RedisScript: Sendable {
    package let name: String  // for messages
    package let source: String
    private let learnedDigest = Mutex<String?>(nil)

    package init(_ name: String, _ source: String) {
        self.name = name
        self.source = source
    }

    var digest: String? {
        get { learnedDigest.withLock { $0 } }
        set { learnedDigest.withLock { $0 = newValue } }
    }
}
