/// Makes text out of the chunks of one output stream, which are cut anywhere.
///
/// A character split over chunks is held back (at most three bytes) until it is whole or the stream ends. A chunk
/// that is not UTF-8 is given as bytes, as a whole.
struct TextJoiner {
    enum Piece: Equatable {
        case text(ArraySlice<UInt8>)  // valid UTF-8
        case bytes(ArraySlice<UInt8>)
    }

    private var held: [UInt8] = []

    /// `nil` when all there is has to be held back.
    mutating func append(_ chunk: [UInt8]) -> Piece? {
        let bytes = held.isEmpty ? chunk : held + chunk
        let complete = bytes.count - Self.unfinished(bytes)
        held = Array(bytes[complete...])
        return Self.piece(bytes[..<complete])
    }

    /// What is still held back, at the end of the stream.
    mutating func flush() -> Piece? {
        defer { held = [] }
        return Self.piece(held[...])
    }

    private static func piece(_ bytes: ArraySlice<UInt8>) -> Piece? {
        if bytes.isEmpty { return nil }
        return isUTF8(bytes) ? .text(bytes) : .bytes(bytes)
    }

    static func isUTF8(_ bytes: ArraySlice<UInt8>) -> Bool {
        (try? UTF8Span(validating: bytes.span)) != nil
    }

    /// How many bytes at the end may be the start of a character whose rest has yet to come.
    private static func unfinished(_ bytes: [UInt8]) -> Int {
        for length in 1..<4 where length <= bytes.count {
            let lead = bytes[bytes.count - length]
            if lead & 0xC0 == 0x80 { continue }  // a continuation: its lead is further left
            guard lead >= 0xC2, lead <= 0xF4 else { return 0 }
            let needed = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2
            guard length < needed else { return 0 }
            guard length > 1 else { return length }
            // The Unicode Standard, table 3-7: the second byte's range depends on the first.
            let second = bytes[bytes.count - length + 1]
            let legal: ClosedRange<UInt8> =
                switch lead {
                case 0xE0: 0xA0...0xBF
                case 0xED: 0x80...0x9F
                case 0xF0: 0x90...0xBF
                case 0xF4: 0x80...0x8F
                default: 0x80...0xBF
                }
            return legal.contains(second) ? length : 0
        }
        return 0
    }
}
