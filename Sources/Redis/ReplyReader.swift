import CHiredis

/// hiredis' parser for what a server sends. Owns one `redisReader`, which does no I/O and knows no thread: whoever
/// holds it calls it, one at a time. A reply is copied out and freed before ``next()`` returns.
struct ReplyReader: ~Copyable {
    static let replyLimit = 64 << 20  // bytes of one reply, so that no server can fill our memory

    private let raw: UnsafeMutablePointer<redisReader>
    private var unfinished = 0  // bytes fed since the last whole reply

    init() throws(RedisError) {
        guard let raw = redisReaderCreate() else { throw RedisError(.protocolViolation, "no memory for a parser") }
        self.raw = raw
    }

    deinit { redisReaderFree(raw) }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) throws(RedisError) {
        unfinished += bytes.count
        guard unfinished <= Self.replyLimit else {
            throw RedisError(.protocolViolation, "a reply is longer than \(Self.replyLimit) bytes")
        }
        let text = bytes.bindMemory(to: CChar.self).baseAddress
        if redisReaderFeed(raw, text, bytes.count) != REDIS_OK { throw failure() }
    }

    /// The next whole reply; nil when more bytes are needed. After a throw the stream is lost.
    mutating func next() throws(RedisError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        if redisReaderGetReply(raw, &reply) != REDIS_OK { throw failure() }
        guard let reply else { return nil }
        defer { freeReplyObject(reply) }
        unfinished = raw.pointee.len - raw.pointee.pos
        return RedisValue(reply.assumingMemoryBound(to: redisReply.self).pointee)
    }

    private func failure() -> RedisError {
        let text = withUnsafeBytes(of: raw.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return RedisError(.protocolViolation, text)
    }
}

extension RedisValue {
    /// Copies a reply. hiredis nests at most seven arrays, so the recursion is bounded.
    fileprivate init(_ reply: redisReply) {
        switch reply.type {
        case REDIS_REPLY_INTEGER: self = .integer(Int(reply.integer))
        case REDIS_REPLY_STRING, REDIS_REPLY_STATUS:
            self = .string(Array(UnsafeRawBufferPointer(start: reply.str, count: reply.len)))
        case REDIS_REPLY_ERROR:
            self = .error(String(decoding: UnsafeRawBufferPointer(start: reply.str, count: reply.len), as: UTF8.self))
        case REDIS_REPLY_ARRAY:
            let elements = UnsafeBufferPointer(start: reply.element, count: reply.elements)
            self = .array(elements.map { $0.map { RedisValue($0.pointee) } ?? .null })
        default: self = .null
        }
    }
}
