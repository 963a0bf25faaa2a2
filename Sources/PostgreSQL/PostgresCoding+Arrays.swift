package import Foundation

/// What an `Array` of it is in PostgreSQL: bytes are one `bytea`, all others a one-dimensional array.
package protocol PostgresArrayElement {
    static func postgresBind(of array: [Self]) -> PostgresBind
    static func array(postgres cell: PostgresCell) throws(PostgresError) -> [Self]
}

extension Array: PostgresEncodable where Element: PostgresArrayElement {
    package var postgresBind: PostgresBind { Element.postgresBind(of: self) }
}

extension Array: PostgresDecodable where Element: PostgresArrayElement {
    package init(postgres cell: PostgresCell) throws(PostgresError) { self = try Element.array(postgres: cell) }
}

extension UInt8: PostgresArrayElement {
    package static func postgresBind(of array: [UInt8]) -> PostgresBind { .bytes(array) }

    package static func array(postgres cell: PostgresCell) throws(PostgresError) -> [UInt8] {
        guard let hex = cell.bytes else { return Array(try cell.text().utf8) }
        guard hex.starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "x")]), hex.count.isMultiple(of: 2) else {
            throw cell.mismatch([UInt8].self)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(hex.count / 2 - 1)
        var index = hex.startIndex + 2
        while index < hex.endIndex {
            guard let high = nibble(hex[index]), let low = nibble(hex[index + 1]) else {
                throw cell.mismatch([UInt8].self)
            }
            bytes.append(high << 4 | low)
            index += 2
        }
        return bytes
    }

    private static func nibble(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}

extension String: PostgresArrayElement {
    package static func postgresBind(of array: [String]) -> PostgresBind { .text(ArrayText.join(array)) }
    package static func array(postgres cell: PostgresCell) throws(PostgresError) -> [String] {
        try cell.parse(ArrayText.split)
    }
}

extension Int: PostgresArrayElement {
    package static func postgresBind(of array: [Int]) -> PostgresBind { .text(ArrayText.join(array.map { "\($0)" })) }
    package static func array(postgres cell: PostgresCell) throws(PostgresError) -> [Int] {
        try cell.parse { ArrayText.split($0)?.all { Int($0) } }
    }
}

extension UUID: PostgresArrayElement {
    package static func postgresBind(of array: [UUID]) -> PostgresBind {
        .text(ArrayText.join(array.map(\.uuidString)))
    }
    package static func array(postgres cell: PostgresCell) throws(PostgresError) -> [UUID] {
        try cell.parse { ArrayText.split($0)?.all { UUID(uuidString: $0) } }
    }
}

extension Array {
    fileprivate func all<Value>(_ transform: (Element) -> Value?) -> [Value]? {
        let values = compactMap(transform)
        return values.count == count ? values : nil
    }
}

/// The text form of a one-dimensional array (PostgreSQL manual, "Array Input and Output Syntax").
enum ArrayText {
    static func join(_ elements: [String]) -> String {
        var text = "{"
        for (index, element) in elements.enumerated() {
            if index > 0 { text += "," }
            text += "\""
            for character in element.unicodeScalars {
                if character == "\"" || character == "\\" { text += "\\" }
                text.unicodeScalars.append(character)
            }
            text += "\""
        }
        return text + "}"
    }

    /// The elements; nil if the text is no such array, or if one of them is NULL.
    static func split(_ text: String) -> [String]? {
        var rest = Substring(text).utf8
        guard rest.popFirst() == UInt8(ascii: "{") else { return nil }
        if rest.elementsEqual([UInt8(ascii: "}")]) { return [] }
        var elements: [String] = []
        while true {
            var element: [UInt8] = []
            let quoted = rest.first == UInt8(ascii: "\"")
            if quoted { rest.removeFirst() }
            var closed = !quoted
            while let byte = rest.first {
                if quoted ? byte == UInt8(ascii: "\"") : byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") {
                    if quoted { rest.removeFirst() }
                    closed = true
                    break
                }
                rest.removeFirst()
                if !quoted, byte == UInt8(ascii: "{") { return nil }
                guard byte == UInt8(ascii: "\\") else {
                    element.append(byte)
                    continue
                }
                guard let escaped = rest.popFirst() else { return nil }
                element.append(escaped)
            }
            let value = String(decoding: element, as: UTF8.self)
            guard closed, quoted || (!value.isEmpty && value.uppercased() != "NULL") else { return nil }
            elements.append(value)
            switch rest.popFirst() {
            case UInt8(ascii: ","): continue
            case UInt8(ascii: "}"): return rest.isEmpty ? elements : nil
            default: return nil
            }
        }
    }
}
