/// What the server answers. A status (`+OK`) is a string. An error inside an array or a pipeline is a value; the
/// only reply of one command is thrown instead.
package enum RedisValue: Hashable, Sendable {
    case null
    case integer(Int)
    case string([UInt8])
    case array([RedisValue])
    case error(String)

    package var isNull: Bool { self == .null }

    /// A string, or an integer in digits.
    package var text: String? {
        switch self {
        case .string(let bytes): String(decoding: bytes, as: UTF8.self)
        case .integer(let number): String(number)
        case .null, .array, .error: nil
        }
    }

    /// An integer, or a string that is one.
    package var number: Int? {
        switch self {
        case .integer(let number): number
        case .string: text.flatMap { Int($0) }
        case .null, .array, .error: nil
        }
    }

    package var bytes: [UInt8]? {
        if case .string(let bytes) = self { bytes } else { nil }
    }

    package var elements: [RedisValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The field and value pairs of `HGETALL`, in RESP2 a flat list.
    package var fields: [String: String] {
        guard let elements else { return [:] }
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: elements.count - 1, by: 2) {
            if let name = elements[index].text { fields[name] = elements[index + 1].text }
        }
        return fields
    }
}

extension RedisValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral,
    ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(Array(value.utf8)) }
    package init(integerLiteral value: Int) { self = .integer(value) }
    package init(arrayLiteral elements: RedisValue...) { self = .array(elements) }
    package init(nilLiteral: ()) { self = .null }
}
