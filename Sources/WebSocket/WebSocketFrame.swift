/// RFC 6455 without a socket: frames, messages, the handshake's key, close codes. Whoever has a connection that carries
/// bytes in both directions puts what it reads into a ``WebSocketDecoder`` and writes what a ``WebSocketFrame`` encodes
/// to; servers (`Gateway`) and clients do the same, but for the mask.
///
/// Nothing here waits, and all that is kept is bounded: by a message's limit, a frame's head, and one read.
package struct WebSocketFrame: Equatable, Sendable {
    package enum Opcode: UInt8, Sendable {
        case continuation = 0
        case text = 1
        case binary = 2
        case close = 8
        case ping = 9
        case pong = 10

        var isControl: Bool { rawValue >= 8 }
    }

    package var isFinal = true
    package var opcode: Opcode
    package var payload: [UInt8]

    package init(_ opcode: Opcode, _ payload: [UInt8] = [], isFinal: Bool = true) {
        self.opcode = opcode
        self.payload = payload
        self.isFinal = isFinal
    }

    package static func text(_ text: String) -> WebSocketFrame { WebSocketFrame(.text, Array(text.utf8)) }
    package static func binary(_ bytes: [UInt8]) -> WebSocketFrame { WebSocketFrame(.binary, bytes) }

    /// `code` is one that may be sent; the reason is cut to what a control frame holds.
    package static func close(_ code: WebSocketCloseCode?, _ reason: String = "") -> WebSocketFrame {
        guard let code, code.mayBeSent else { return WebSocketFrame(.close) }
        var text = reason
        while text.utf8.count > controlLimit - 2 { text.removeLast() }
        return WebSocketFrame(
            .close, [UInt8(code.rawValue >> 8), UInt8(truncatingIfNeeded: code.rawValue)] + text.utf8)
    }

    /// The most that a control frame carries (RFC 6455, 5.5).
    package static let controlLimit = 125

    /// As it is sent: by a client with a mask that is new and not to be guessed for each frame, by a server with none.
    package func encoded(mask: UInt32? = nil) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(payload.count + 14)
        bytes.append((isFinal ? 0x80 : 0) | opcode.rawValue)
        let flag: UInt8 = mask == nil ? 0 : 0x80
        switch payload.count {
        case ...125: bytes.append(flag | UInt8(payload.count))
        case ...0xFFFF:
            bytes.append(flag | 126)
            withUnsafeBytes(of: UInt16(payload.count).bigEndian) { bytes.append(contentsOf: $0) }
        default:
            bytes.append(flag | 127)
            withUnsafeBytes(of: UInt64(payload.count).bigEndian) { bytes.append(contentsOf: $0) }
        }
        if let mask { withUnsafeBytes(of: mask.bigEndian) { bytes.append(contentsOf: $0) } }
        let start = bytes.count
        bytes.append(contentsOf: payload)
        if let mask { Self.unmask(&bytes, from: start, to: bytes.count, by: mask) }
        return bytes
    }

    /// Masks, or takes the mask away again.
    static func unmask(_ bytes: inout [UInt8], from start: Int, to end: Int, by mask: UInt32) {
        guard mask != 0, start < end else { return }
        bytes.withUnsafeMutableBytes { bytes in
            let wide = (UInt64(mask) << 32 | UInt64(mask)).bigEndian
            var index = start
            while index + 8 <= end {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                bytes.storeBytes(of: word ^ wide, toByteOffset: index, as: UInt64.self)
                index += 8
            }
            while index < end {
                bytes[index] ^= UInt8(truncatingIfNeeded: mask >> (24 - 8 * UInt32((index - start) & 3)))
                index += 1
            }
        }
    }
}

/// Why a connection is closed (RFC 6455, 7.4). Those from 4000 on are an application's own.
package struct WebSocketCloseCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let normal = WebSocketCloseCode(rawValue: 1000)
    package static let goingAway = WebSocketCloseCode(rawValue: 1001)
    package static let protocolError = WebSocketCloseCode(rawValue: 1002)
    package static let unsupportedData = WebSocketCloseCode(rawValue: 1003)
    package static let invalidData = WebSocketCloseCode(rawValue: 1007)
    package static let policyViolation = WebSocketCloseCode(rawValue: 1008)
    package static let messageTooBig = WebSocketCloseCode(rawValue: 1009)
    package static let internalError = WebSocketCloseCode(rawValue: 1011)

    /// Whether it may stand in a frame: 1004 to 1006 and 1015 only say what a program is told.
    package var mayBeSent: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }

    package var description: String { String(rawValue) }
}
