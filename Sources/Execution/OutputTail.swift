import Glibc

/// The last bytes of what a program prints, with every secret in it masked, also one that came in two pieces.
///
/// Bytes pass through a buffer that holds back one byte less than the longest secret: of what leaves it, every secret
/// that begins there is known. Secrets may overlap and hold each other: what any of them covers is masked.
struct OutputTail: Sendable {
    static let mask = Array("***".utf8)

    private let secrets: Set<[UInt8]>
    private let limit: Int
    private let heldBack: Int
    private var buffer: [UInt8] = []
    private var masked = 0  // so many bytes of the buffer are of a secret whose mask has left
    private var tail: [UInt8] = []

    /// Keeps at most `limit` bytes. Secrets that are empty are none.
    init(limit: Int, masking secrets: some Sequence<String>) {
        self.limit = limit
        self.secrets = Set(secrets.map { Array($0.utf8) }.filter { !$0.isEmpty })
        heldBack = max(0, (self.secrets.map(\.count).max() ?? 0) - 1)
    }

    mutating func append(_ bytes: [UInt8]) {
        buffer += bytes
        release(max(0, buffer.count - heldBack))
    }

    /// All that was kept, as text; a character that was cut at the beginning is left out.
    var text: String {
        var ended = self
        ended.release(buffer.count)
        let isCut = ended.tail.count > limit
        let whole = Array(ended.tail.suffix(limit))
        let start = isCut ? whole.firstIndex { $0 & 0xC0 != 0x80 } ?? 0 : 0
        return String(decoding: whole[start...], as: UTF8.self)
    }

    /// Lets the first `count` bytes out.
    private mutating func release(_ count: Int) {
        var covered = masked
        for found in occurrences(before: count) {
            if found.lowerBound > covered || covered == 0 {
                tail += buffer[covered..<found.lowerBound] + Self.mask
            }
            covered = max(covered, found.upperBound)
        }
        if covered < count { tail += buffer[covered..<count] }
        masked = max(0, covered - count)
        buffer.removeFirst(count)
        if tail.count > 2 * limit { tail.removeFirst(tail.count - limit - 1) }
    }

    /// Where secrets begin before `end`, in order.
    private func occurrences(before end: Int) -> [Range<Int>] {
        var all: [Range<Int>] = []
        for secret in secrets {
            var start = 0
            while let found = Self.position(of: secret, in: buffer, from: start), found < end {
                all.append(found..<found + secret.count)
                start = found + 1
            }
        }
        return all.sorted { $0.lowerBound < $1.lowerBound }
    }

    private static func position(of needle: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        bytes.withUnsafeBytes { bytes -> Int? in
            guard let base = bytes.baseAddress, let first = needle.first else { return nil }
            var index = start
            while index + needle.count <= bytes.count {
                let places = bytes.count - needle.count - index + 1
                guard let found = memchr(base + index, Int32(first), places) else { return nil }
                let position = UnsafeRawPointer(found) - base
                if memcmp(found, needle, needle.count) == 0 { return position }
                index = position + 1
            }
            return nil
        }
    }
}
