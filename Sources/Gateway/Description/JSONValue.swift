import NIOCore

/// JSON put together by hand, its fields in the order they were written.
enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    case string(String)
    case array([JSONValue])
    case object([(String, JSONValue)])

    func write(to buffer: inout ByteBuffer) {
        switch self {
        case .null: buffer.writeStaticString("null")
        case .bool(let value): buffer.writeString(value ? "true" : "false")
        case .integer(let value): buffer.writeString(String(value))
        case .string(let text): buffer.writeJSONString(text)
        case .array(let values):
            buffer.writeStaticString("[")
            for (index, value) in values.enumerated() {
                if index > 0 { buffer.writeStaticString(",") }
                value.write(to: &buffer)
            }
            buffer.writeStaticString("]")
        case .object(let fields):
            buffer.writeStaticString("{")
            for (index, (name, value)) in fields.enumerated() {
                if index > 0 { buffer.writeStaticString(",") }
                buffer.writeJSONString(name)
                buffer.writeStaticString(":")
                value.write(to: &buffer)
            }
            buffer.writeStaticString("}")
        }
    }

    var text: String {
        var buffer = ByteBuffer()
        write(to: &buffer)
        return String(buffer: buffer)
    }

    /// The value of a field, if this is an object that has it.
    subscript(_ name: String) -> JSONValue? {
        if case .object(let fields) = self { fields.first { $0.0 == name }?.1 } else { nil }
    }

    /// This schema of an object with another description and fields more, all of them required.
    func describing(_ description: String, adding more: KeyValuePairs<String, JSONValue>) -> JSONValue {
        guard case .object(let fields) = self else { return self }
        return .object(
            fields.map { name, value in
                switch (name, value) {
                case ("description", _): (name, .string(description))
                case ("properties", .object(let all)): (name, .object(all + more.map { ($0.key, $0.value) }))
                case ("required", .array(let all)): (name, .array(all + more.map { .string($0.key) }))
                default: (name, value)
                }
            })
    }

    /// This object with fields more.
    func with(_ more: KeyValuePairs<String, JSONValue>) -> JSONValue {
        guard case .object(let fields) = self else { return self }
        return .object(fields + more.map { ($0.key, $0.value) })
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    init(stringLiteral value: String) { self = .string(value) }
    init(integerLiteral value: Int) { self = .integer(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements) }
}
