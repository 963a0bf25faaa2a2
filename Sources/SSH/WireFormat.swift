/// Writes the data types of RFC 4251, section 5.
struct WireWriter {
    private(set) var bytes: [UInt8] = []

    mutating func byte(_ value: UInt8) { bytes.append(value) }

    mutating func integer(_ value: UInt32) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func long(_ value: UInt64) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func string(_ value: String) { string(value.utf8) }

    mutating func string(_ value: some Collection<UInt8>) {
        integer(UInt32(value.count))
        bytes.append(contentsOf: value)
    }

    /// A string whose content `write` writes: nothing is laid down twice.
    mutating func string(reserving capacity: Int = 0, _ write: (inout WireWriter) -> Void) {
        bytes.reserveCapacity(bytes.count + 4 + capacity)
        let start = bytes.count
        integer(0)
        write(&self)
        let length = UInt32(bytes.count - start - 4)
        for index in 0..<4 { bytes[start + index] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(index))) }
    }
}

/// Reads them; `nil` where the bytes end too early.
struct WireReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }
    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func byte() -> UInt8? { rest.popFirst() }

    mutating func integer() -> UInt32? {
        guard rest.count >= 4 else { return nil }
        defer { rest.removeFirst(4) }
        return rest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func long() -> UInt64? {
        guard let high = integer(), let low = integer() else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    mutating func string() -> [UInt8]? { slice().map { Array($0) } }

    /// A string that lies where it was read from.
    mutating func slice() -> ArraySlice<UInt8>? {
        guard let length = integer(), rest.count >= Int(length) else { return nil }
        defer { rest.removeFirst(Int(length)) }
        return rest.prefix(Int(length))
    }
}
