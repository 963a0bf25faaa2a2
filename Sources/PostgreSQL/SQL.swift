/// One statement: its text with `$1`, `$2`, … and what is bound to them.
///
///     let row: SQL = "select state from user_vms where id = \(id) and owner = \(owner)"
///
/// An interpolated value is always bound, never part of the text; `\(raw: …)` inserts text, and another `SQL` is
/// inserted with its binds. Binds are untyped: the server infers each from where it stands, as for a quoted literal;
/// where it cannot, write a cast (`\(names)::text[]`, `\(bytes)::bytea`). The text is the key of the prepared statement,
/// so what varies belongs into binds.
package struct SQL: ExpressibleByStringInterpolation, Sendable, CustomStringConvertible {
    enum Part: Sendable {
        case text(String)
        case bind(PostgresBind)
    }
    let parts: [Part]

    package init(stringLiteral text: String) { parts = [.text(text)] }
    package init(stringInterpolation interpolation: StringInterpolation) { parts = interpolation.parts }
    package init(raw text: String) { parts = [.text(text)] }

    package struct StringInterpolation: StringInterpolationProtocol {
        var parts: [Part] = []

        package init(literalCapacity: Int, interpolationCount: Int) {
            parts.reserveCapacity(2 * interpolationCount + 1)
        }
        package mutating func appendLiteral(_ literal: String) {
            if !literal.isEmpty { parts.append(.text(literal)) }
        }
        package mutating func appendInterpolation(_ value: some PostgresEncodable) {
            parts.append(.bind(value.postgresBind))
        }
        /// `nil` is NULL. Without this overload the compiler takes an optional here for a mistake and warns.
        package mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            parts.append(.bind(value.postgresBind))
        }
        package mutating func appendInterpolation(raw text: String) { appendLiteral(text) }
        package mutating func appendInterpolation(_ fragment: SQL) { parts += fragment.parts }
    }

    /// The text as the server gets it, and its binds in order.
    func rendered() -> (text: String, binds: [PostgresBind]) {
        var text = ""
        var binds: [PostgresBind] = []
        for part in parts {
            switch part {
            case .text(let literal): text += literal
            case .bind(let bind):
                binds.append(bind)
                text += "$\(binds.count)"
            }
        }
        return (text, binds)
    }

    /// The text without what is bound: safe to log.
    package var description: String { rendered().text }

    /// `name` in double quotes, for table, column and channel names made at run time.
    package static func identifier(_ name: String) -> SQL {
        SQL(raw: "\"\(name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\"")
    }
}
