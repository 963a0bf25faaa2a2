package import Foundation

/// A value on its way to the server. Its type is the server's to infer, save for bytes, which are `bytea`.
package enum PostgresBind: Hashable, Sendable {
    case null
    case text(String)
    case bytes([UInt8])
}

/// What can stand in an interpolation of ``SQL``.
package protocol PostgresEncodable {
    var postgresBind: PostgresBind { get }
}

/// What a column can be read as.
package protocol PostgresDecodable {
    init(postgres cell: PostgresCell) throws(PostgresError)
}

/// One value of a result as the server wrote it (text format), or NULL.
package struct PostgresCell {
    package let column: String
    let bytes: ArraySlice<UInt8>?  // nil: NULL

    package var isNull: Bool { bytes == nil }

    /// Its text. Throws if it is NULL.
    package func text() throws(PostgresError) -> String {
        guard let bytes else {
            throw PostgresError(.decode, "Column '\(column)' is NULL.", hint: "Read it as an Optional.")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The error for a cell whose text is no `type`. The text itself is not shown: it may be a secret.
    package func mismatch(_ type: Any.Type) -> PostgresError {
        PostgresError(.decode, "Column '\(column)' cannot be read as \(type).")
    }

    func parse<Value>(_ parse: (String) -> Value?) throws(PostgresError) -> Value {
        guard let value = parse(try text()) else { throw mismatch(Value.self) }
        return value
    }
}

extension String: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(self) }
    package init(postgres cell: PostgresCell) throws(PostgresError) { self = try cell.text() }
}

extension Int: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
    package init(postgres cell: PostgresCell) throws(PostgresError) { self = try cell.parse { Int($0) } }
}

extension Int64: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
    package init(postgres cell: PostgresCell) throws(PostgresError) { self = try cell.parse { Int64($0) } }
}

extension Int32: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
    package init(postgres cell: PostgresCell) throws(PostgresError) { self = try cell.parse { Int32($0) } }
}

extension Bool: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(self ? "t" : "f") }
    package init(postgres cell: PostgresCell) throws(PostgresError) {
        self = try cell.parse { ["t": true, "f": false][$0] }
    }
}

extension Double: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(String(self)) }
    package init(postgres cell: PostgresCell) throws(PostgresError) { self = try cell.parse { Double($0) } }
}

extension UUID: PostgresEncodable, PostgresDecodable {
    package var postgresBind: PostgresBind { .text(uuidString) }
    package init(postgres cell: PostgresCell) throws(PostgresError) { self = try cell.parse { UUID(uuidString: $0) } }
}

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
    package var postgresBind: PostgresBind { self?.postgresBind ?? .null }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    package init(postgres cell: PostgresCell) throws(PostgresError) {
        self = cell.isNull ? nil : try Wrapped(postgres: cell)
    }
}

extension PostgresEncodable where Self: RawRepresentable, RawValue: PostgresEncodable {
    package var postgresBind: PostgresBind { rawValue.postgresBind }
}

extension PostgresDecodable where Self: RawRepresentable, RawValue: PostgresDecodable {
    package init(postgres cell: PostgresCell) throws(PostgresError) {
        guard let value = Self(rawValue: try RawValue(postgres: cell)) else { throw cell.mismatch(Self.self) }
        self = value
    }
}

/// A value kept as `json` or `jsonb`; dates in it are ISO 8601.
package struct PostgresJSON<Value> {
    package let value: Value
    package init(_ value: Value) { self.value = value }
}

extension PostgresJSON: Sendable where Value: Sendable {}

extension PostgresJSON: PostgresEncodable where Value: Encodable {
    /// A value that cannot be encoded (an infinite number) is bound as text that is no JSON, so the server refuses it.
    package var postgresBind: PostgresBind {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else { return .text("not encodable as JSON") }
        return .text(String(decoding: data, as: UTF8.self))
    }
}

extension PostgresJSON: PostgresDecodable where Value: Decodable {
    package init(postgres cell: PostgresCell) throws(PostgresError) {
        let data = Data(try cell.text().utf8)
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        do {
            value = try decoder.decode(Value.self, from: data)
        } catch {
            throw cell.mismatch(Value.self)
        }
    }
}
