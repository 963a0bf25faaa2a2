/// Writes one flat JSON object. For what is written once a call, where `JSONEncoder` takes longer than all that is done
/// with the text.
package struct JSONWriter {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    package init(capacity: Int = 512) { bytes.reserveCapacity(capacity) }

    /// The whole text.
    package consuming func ended() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    /// What is `nil` is left out.
    package mutating func field(_ name: StaticString, _ value: (some BinaryInteger)?) {
        guard let value else { return }
        key(name)
        bytes.append(contentsOf: String(value).utf8)
    }

    package mutating func field(_ name: StaticString, _ value: Double?) {
        guard let value, value.isFinite else { return }
        key(name)
        bytes.append(contentsOf: String(value).utf8)
    }

    package mutating func field(_ name: StaticString, _ value: Bool?) {
        guard let value else { return }
        key(name)
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
    }

    package mutating func field(_ name: StaticString, _ value: String?) {
        guard let value else { return }
        key(name)
        string(value)
    }

    package mutating func field(_ name: StaticString, _ value: [String]) {
        key(name)
        bytes.append(UInt8(ascii: "["))
        for (index, one) in value.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            string(one)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// Of values that are JSON already.
    package mutating func field(_ name: StaticString, _ value: [[UInt8]]) {
        key(name)
        bytes.append(UInt8(ascii: "["))
        for (index, one) in value.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(contentsOf: one)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    package mutating func field(_ name: StaticString, _ value: [String: String]) {
        key(name)
        bytes.append(UInt8(ascii: "{"))
        for (index, one) in value.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            string(one.key)
            bytes.append(UInt8(ascii: ":"))
            string(one.value)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    /// A value that is JSON already.
    package mutating func field(_ name: StaticString, json: [UInt8]) {
        key(name)
        bytes.append(contentsOf: json)
    }

    private mutating func key(_ name: StaticString) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\""))
        name.withUTF8Buffer { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func string(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { utf8 in
            var rest = utf8[...]
            // Most of a program needs no escape, and is copied as one.
            while let index = rest.firstIndex(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C }) {
                bytes.append(contentsOf: rest[..<index])
                escape(rest[index])
                rest = rest[(index + 1)...]
            }
            bytes.append(contentsOf: rest)
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ byte: UInt8) {
        switch byte {
        case 0x22, 0x5C: bytes += [0x5C, byte]
        case 0x0A: bytes += [0x5C, UInt8(ascii: "n")]
        default:
            let digits = Array("0123456789abcdef".utf8)
            bytes += [0x5C, UInt8(ascii: "u"), 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
}
