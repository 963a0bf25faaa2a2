import NIOCore

/// JSON written by hand where it is written most: one pass over the bytes, no intermediate `String`.
extension ByteBuffer {
    /// Writes the text as a JSON string, quotes included. `utf8` must be valid UTF-8.
    ///
    /// Beyond what RFC 8259 asks for, U+0085, U+2028 and U+2029 are escaped: readers that cut lines at Unicode's
    /// line ends (Python's `str.splitlines`) would otherwise cut an NDJSON line in two.
    mutating func writeJSONString(utf8: some Collection<UInt8>) {
        writeInteger(UInt8(ascii: "\""))
        let wrote: Void? = utf8.withContiguousStorageIfAvailable { writeEscaped(UnsafeRawBufferPointer($0)) }
        if wrote == nil { Array(utf8).withUnsafeBytes { writeEscaped($0) } }
        writeInteger(UInt8(ascii: "\""))
    }

    mutating func writeJSONString(_ text: String) { writeJSONString(utf8: text.utf8) }

    /// Writes `null` for a number that JSON cannot hold.
    mutating func writeJSONNumber(_ value: Double) {
        writeString(value.isFinite ? "\((value * 1_000).rounded() / 1_000)" : "null")
    }

    /// Writes the bytes as a JSON string of their base64 (RFC 4648, padded).
    mutating func writeJSONBase64(_ bytes: some Collection<UInt8>) {
        writeInteger(UInt8(ascii: "\""))
        let wrote: Void? = bytes.withContiguousStorageIfAvailable { writeBase64(UnsafeRawBufferPointer($0)) }
        if wrote == nil { Array(bytes).withUnsafeBytes { writeBase64($0) } }
        writeInteger(UInt8(ascii: "\""))
    }

    /// Writes what stands between the quotes of a JSON string.
    mutating func writeEscaped(_ source: UnsafeRawBufferPointer) {
        // In blocks, so that room for the longest escape (six bytes for one) is claimed for a little at a time.
        let block = 4_096
        var index = 0
        while index < source.count {
            let end = min(index + block, source.count)
            writeWithUnsafeMutableBytes(minimumWritableBytes: (end - index) * 6 + 8) { target in
                escape(source, from: &index, to: end, into: target)
            }
        }
    }

    /// Writes base64 without quotes.
    mutating func writeBase64(_ source: UnsafeRawBufferPointer) {
        let length = (source.count + 2) / 3 * 4
        writeWithUnsafeMutableBytes(minimumWritableBytes: length) { target in
            base64Alphabet.withUnsafeBytes { alphabet in
                var (read, write) = (0, 0)
                while read + 3 <= source.count {
                    let bits = Int(source[read]) << 16 | Int(source[read + 1]) << 8 | Int(source[read + 2])
                    target[write] = alphabet[bits >> 18]
                    target[write + 1] = alphabet[bits >> 12 & 63]
                    target[write + 2] = alphabet[bits >> 6 & 63]
                    target[write + 3] = alphabet[bits & 63]
                    read += 3
                    write += 4
                }
                let left = source.count - read
                guard left > 0 else { return }
                let bits = Int(source[read]) << 16 | (left == 2 ? Int(source[read + 1]) << 8 : 0)
                target[write] = alphabet[bits >> 18]
                target[write + 1] = alphabet[bits >> 12 & 63]
                target[write + 2] = left == 2 ? alphabet[bits >> 6 & 63] : UInt8(ascii: "=")
                target[write + 3] = UInt8(ascii: "=")
            }
            return length
        }
    }
}

private let base64Alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
private let hexDigits = Array("0123456789abcdef".utf8)

/// Escapes `source[index..<end]` into `target` and returns how many bytes that took; `index` ends at `end`, or up to
/// two bytes after it where an escaped character lies across.
private func escape(
    _ source: UnsafeRawBufferPointer, from index: inout Int, to end: Int, into target: UnsafeMutableRawBufferPointer
) -> Int {
    var written = 0
    func put(_ byte: UInt8) {
        target[written] = byte
        written += 1
    }
    while index < end {
        if index + 8 <= end {
            let word = source.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            let special = bytesToLookAt(word)
            target.storeBytes(of: word, toByteOffset: written, as: UInt64.self)
            let plain = special == 0 ? 8 : UInt64(littleEndian: special).trailingZeroBitCount / 8
            index += plain
            written += plain
            if special == 0 { continue }
        }
        let byte = source[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            put(UInt8(ascii: "\\"))
            put(byte)
        case UInt8(ascii: "\n"):
            put(UInt8(ascii: "\\"))
            put(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"):
            put(UInt8(ascii: "\\"))
            put(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"):
            put(UInt8(ascii: "\\"))
            put(UInt8(ascii: "t"))
        case 0..<0x20:
            for digit in "\\u00".utf8 { put(digit) }
            put(hexDigits[Int(byte >> 4)])
            put(hexDigits[Int(byte & 15)])
        case 0xC2 where index < source.count && source[index] == 0x85:
            for digit in "\\u0085".utf8 { put(digit) }
            index += 1
        case 0xE2
        where index + 1 < source.count && source[index] == 0x80
            && (source[index + 1] == 0xA8 || source[index + 1] == 0xA9):
            for digit in "\\u202".utf8 { put(digit) }
            put(source[index + 1] == 0xA8 ? UInt8(ascii: "8") : UInt8(ascii: "9"))
            index += 2
        default:
            put(byte)
        }
    }
    return written
}

/// The high bit of every byte that is not copied unseen: control, quote, backslash, or the lead of a character that
/// may have to be escaped. A byte after the first such one may be marked wrongly (the borrow runs upward), so only the
/// lowest mark counts.
@inline(__always)
private func bytesToLookAt(_ word: UInt64) -> UInt64 {
    let word = UInt64(littleEndian: word)
    let ones: UInt64 = 0x0101_0101_0101_0101
    func marks(_ byte: UInt64) -> UInt64 {
        let difference = word ^ (ones &* byte)
        return (difference &- ones) & ~difference
    }
    let controls = (word &- ones &* 0x20) & ~word
    return ((controls | marks(0x22) | marks(0x5C) | marks(0xC2) | marks(0xE2)) & 0x8080_8080_8080_8080).littleEndian
}
