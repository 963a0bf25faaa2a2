/// Bytes waiting to be read, first in first out. Its owner bounds it by the channel's window.
struct ByteQueue {
    private var storage: [UInt8] = []
    private var head = 0  // storage[head...] is still to be read

    var count: Int { storage.count - head }
    var isEmpty: Bool { storage.count == head }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if head > 0, head >= storage.count / 2 {
            storage.removeSubrange(..<head)
            head = 0
        }
        storage.append(contentsOf: bytes)
    }

    /// Takes out at most `limit` bytes; `nil` if there are none. All of them at once are handed over uncopied.
    mutating func take(upTo limit: Int) -> [UInt8]? {
        guard !isEmpty, limit > 0 else { return nil }
        if head == 0, storage.count <= limit {
            defer { storage = [] }
            return storage
        }
        let end = min(storage.count, head + limit)
        let bytes = Array(storage[head..<end])
        head = end
        if isEmpty {
            storage = []
            head = 0
        }
        return bytes
    }
}
