/// The part of a file that a `Range` field asks for (RFC 9110, 14).
enum ByteRange: Hashable {
    case whole  // none asked for, or in a way that a server may ignore: several at once
    case part(Range<UInt64>)
    case unsatisfiable

    init(_ field: String?, size: UInt64) {
        guard let field, field.lowercased().hasPrefix("bytes="), !field.contains(",") else {
            self = .whole
            return
        }
        let ends = field.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        func number(_ text: Substring) -> UInt64? {
            text.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } ? UInt64(text) : nil
        }
        guard ends.count == 2 else {
            self = .whole
            return
        }
        switch (number(ends[0]), number(ends[1])) {
        case (nil, let last?) where ends[0].isEmpty:
            self = last == 0 || size == 0 ? .unsatisfiable : .part((size - min(last, size))..<size)
        case (let first?, nil) where ends[1].isEmpty:
            self = first < size ? .part(first..<size) : .unsatisfiable
        case (let first?, let last?) where first <= last:
            self = first < size ? .part(first..<(min(last, size - 1) + 1)) : .unsatisfiable
        default: self = .whole
        }
    }
}
