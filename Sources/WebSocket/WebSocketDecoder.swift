/// What a peer says, once it is whole.
package enum WebSocketMessage: Equatable, Sendable {
    case text(String)
    case binary([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    /// Without a code if the peer gave none. Nothing comes after it.
    case close(WebSocketCloseCode?, String)
}

/// What a peer may not send, and the code to close with.
package struct WebSocketViolation: Error, CustomStringConvertible {
    package let code: WebSocketCloseCode
    package let reason: String

    init(_ code: WebSocketCloseCode, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    package var description: String { "\(code): \(reason)" }
}

/// Puts the bytes of a peer together to messages. Holds one message of at most `messageLimit` bytes and what was appended
/// last; what is longer is refused once its length is known, not when it has come.
package struct WebSocketDecoder: Sendable {
    /// Who sends: clients mask what they send, servers do not.
    package enum Peer: Sendable { case client, server }

    private let peer: Peer
    private let messageLimit: Int
    private var buffer: [UInt8] = []
    private var start = 0
    private var fragments: (opcode: WebSocketFrame.Opcode, payload: [UInt8])?
    private var hasEnded = false

    package init(from peer: Peer, messageLimit: Int = 1 << 20) {
        self.peer = peer
        self.messageLimit = messageLimit
    }

    package mutating func append(_ bytes: some Collection<UInt8>) {
        guard !hasEnded else { return }
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 16)
        } else if start > 0 {
            buffer.removeSubrange(..<start)
        }
        start = 0
        buffer.append(contentsOf: bytes)
    }

    /// The next message, or `nil` when more bytes are needed. After a violation or the peer's close nothing comes.
    package mutating func next() throws(WebSocketViolation) -> WebSocketMessage? {
        while !hasEnded {
            let frame: WebSocketFrame?
            do {
                frame = try nextFrame()
            } catch {
                end()
                throw error
            }
            guard let frame else { return nil }
            do {
                if let message = try message(frame) { return message }
            } catch {
                end()
                throw error
            }
        }
        return nil
    }

    private mutating func end() {
        hasEnded = true
        buffer = []
        start = 0
        fragments = nil
    }

    private mutating func nextFrame() throws(WebSocketViolation) -> WebSocketFrame? {
        guard buffer.count - start >= 2 else { return nil }
        let (first, second) = (buffer[start], buffer[start + 1])
        guard first & 0x70 == 0 else { throw WebSocketViolation(.protocolError, "a reserved bit is set") }
        guard let opcode = WebSocketFrame.Opcode(rawValue: first & 0x0F) else {
            throw WebSocketViolation(.protocolError, "opcode \(first & 0x0F)")
        }
        let isMasked = second & 0x80 != 0
        guard isMasked == (peer == .client) else {
            throw WebSocketViolation(.protocolError, isMasked ? "a masked frame" : "a frame without a mask")
        }
        let isFinal = first & 0x80 != 0
        var length = UInt64(second & 0x7F)
        var head = 2
        if opcode.isControl {
            guard isFinal, length <= 125 else { throw WebSocketViolation(.protocolError, "a long control frame") }
        } else if length >= 126 {
            let count = length == 126 ? 2 : 8
            guard buffer.count - start >= 2 + count else { return nil }
            length = buffer[start + 2..<start + 2 + count].reduce(0) { $0 << 8 | UInt64($1) }
            head += count
            guard length > (count == 2 ? 125 : 0xFFFF), length >> 63 == 0 else {
                throw WebSocketViolation(.protocolError, "a length in more bytes than it needs")
            }
        }
        if !opcode.isControl {
            guard (opcode == .continuation) == (fragments != nil) else {
                throw WebSocketViolation(.protocolError, "a fragment out of its order")
            }
            guard length <= UInt64(messageLimit - (fragments?.payload.count ?? 0)) else {
                throw WebSocketViolation(.messageTooBig, "a message of over \(messageLimit) bytes")
            }
        }
        let maskStart = start + head
        if isMasked { head += 4 }
        let end = start + head + Int(length)
        guard buffer.count >= end else { return nil }
        if isMasked {
            let mask = buffer[maskStart..<maskStart + 4].reduce(0) { $0 << 8 | UInt32($1) }
            WebSocketFrame.unmask(&buffer, from: start + head, to: end, by: mask)
        }
        defer { start = end }
        return WebSocketFrame(opcode, Array(buffer[start + head..<end]), isFinal: isFinal)
    }

    private mutating func message(_ frame: WebSocketFrame) throws(WebSocketViolation) -> WebSocketMessage? {
        switch frame.opcode {
        case .ping: return .ping(frame.payload)
        case .pong: return .pong(frame.payload)
        case .close:
            end()
            return try Self.closing(frame.payload)
        case .text, .binary:
            if frame.isFinal { return try Self.whole(frame.opcode, frame.payload) }
            fragments = (frame.opcode, frame.payload)
        case .continuation:
            fragments?.payload += frame.payload
            guard frame.isFinal, let whole = fragments else { return nil }
            fragments = nil
            return try Self.whole(whole.opcode, whole.payload)
        }
        return nil
    }

    private static func whole(
        _ opcode: WebSocketFrame.Opcode, _ payload: [UInt8]
    ) throws(WebSocketViolation) -> WebSocketMessage {
        guard opcode == .text else { return .binary(payload) }
        guard let text = String(validating: payload, as: UTF8.self) else {
            throw WebSocketViolation(.invalidData, "text that is not UTF-8")
        }
        return .text(text)
    }

    private static func closing(_ payload: [UInt8]) throws(WebSocketViolation) -> WebSocketMessage {
        guard !payload.isEmpty else { return .close(nil, "") }
        guard payload.count >= 2 else { throw WebSocketViolation(.protocolError, "half a close code") }
        let code = WebSocketCloseCode(rawValue: UInt16(payload[0]) << 8 | UInt16(payload[1]))
        guard code.mayBeSent else { throw WebSocketViolation(.protocolError, "close code \(code)") }
        guard let reason = String(validating: payload.dropFirst(2), as: UTF8.self) else {
            throw WebSocketViolation(.invalidData, "a reason that is not UTF-8")
        }
        return .close(code, reason)
    }
}
