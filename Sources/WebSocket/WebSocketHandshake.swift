import Cryptography
import Foundation

/// What is said in HTTP before the first frame (RFC 6455, 4).
package enum WebSocketHandshake {
    package static let version = "13"

    /// What a server answers a key with (`Sec-WebSocket-Accept`); `nil` if it is no key: 16 bytes in base64.
    package static func accept(_ key: String) -> String? {
        guard key.utf8.count == 24, Data(base64Encoded: key)?.count == 16 else { return nil }
        let digest = SHA1.hash((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)
        return Data(digest).base64EncodedString()
    }

    /// A client's key of 16 bytes that nobody can guess.
    package static func key(_ bytes: [UInt8]) -> String {
        precondition(bytes.count == 16, "a key has 16 bytes")
        return Data(bytes).base64EncodedString()
    }
}
