/// One word of a command: text, bytes or an integer. Binary safe; nothing needs quoting.
package struct RedisArgument: Hashable, Sendable {
    private enum Content: Hashable, Sendable {
        case text(String)
        case bytes([UInt8])
    }
    private let content: Content

    package init(_ text: String) { content = .text(text) }
    package init(_ bytes: [UInt8]) { content = .bytes(bytes) }
    package init(_ number: Int) { content = .text(String(number)) }

    /// Appends the word as a RESP bulk string.
    func encode(into output: inout [UInt8]) {
        switch content {
        case .text(var text):
            text.withUTF8 { utf8 in
                Self.encodeHeader("$", utf8.count, into: &output)
                output.append(contentsOf: utf8)
            }
        case .bytes(let bytes):
            Self.encodeHeader("$", bytes.count, into: &output)
            output.append(contentsOf: bytes)
        }
        output.append(13)
        output.append(10)
    }

    /// Appends a command: an array of bulk strings (redis.io, "RESP protocol spec").
    static func encode(_ command: [RedisArgument], into output: inout [UInt8]) {
        encodeHeader("*", command.count, into: &output)
        for argument in command { argument.encode(into: &output) }
    }

    private static func encodeHeader(_ kind: Unicode.Scalar, _ count: Int, into output: inout [UInt8]) {
        output.append(UInt8(truncatingIfNeeded: kind.value))
        var digits = String(count)
        digits.withUTF8 { output.append(contentsOf: $0) }
        output.append(13)
        output.append(10)
    }
}

extension RedisArgument: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral {
    package init(stringLiteral value: String) { self.init(value) }
    package init(integerLiteral value: Int) { self.init(value) }
}
