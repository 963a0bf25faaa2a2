import Foundation

/// A value of the API's JSON. What is only shown is read as this: a server that knows more fields is no trouble, and one
/// that knows fewer leaves gaps.
package enum JSONValue: Codable, Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {  // first what there is most of
            self = .string(text)
        } else if container.decodeNil() {
            self = .null
        } else if let integer = try? container.decode(Int.self) {
            self = .integer(integer)
        } else if let flag = try? container.decode(Bool.self) {
            self = .bool(flag)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let values = try? container.decode([JSONValue].self) {
            self = .array(values)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let values): try container.encode(values)
        case .object(let fields): try container.encode(fields)
        }
    }

    /// What is at a path of names, such as `actor.kind`; `nil` if there is nothing there, or null.
    package subscript(_ path: String) -> JSONValue? {
        var value = self
        for name in path.split(separator: ".") {
            guard case .object(let fields) = value, let next = fields[String(name)] else { return nil }
            value = next
        }
        return value == .null ? nil : value
    }

    /// As people read it: text as it is, what is made of parts as JSON; `nil` for null.
    package var text: String? {
        switch self {
        case .null: nil
        case .bool(let value): value ? "yes" : "no"
        case .integer(let value): String(value)
        case .number(let value): String(format: "%g", value)
        case .string(let text): text
        case .array, .object: json()
        }
    }

    package var integer: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value.rounded())
        case .null, .bool, .string, .array, .object: nil
        }
    }

    package var number: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        case .null, .bool, .string, .array, .object: nil
        }
    }

    package var values: [JSONValue] { if case .array(let values) = self { values } else { [] } }

    package var fields: [String: JSONValue] { if case .object(let fields) = self { fields } else { [:] } }

    /// This object with a field more.
    package func with(_ name: String, _ value: JSONValue) -> JSONValue {
        .object(fields.merging([name: value]) { _, new in new })
    }

    /// JSON text as the server writes it: names sorted, slashes as they are.
    package func json(indented: Bool = false) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if indented { encoder.outputFormatting.insert(.prettyPrinted) }
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
    }
}
