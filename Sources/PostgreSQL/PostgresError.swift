/// Why PostgreSQL did not do what it was asked. No text of it holds a password or what a statement was bound with,
/// save where the server itself quotes a value in its primary message.
package struct PostgresError: Error, CustomStringConvertible, Sendable {
    package enum Kind: Hashable, Sendable {
        /// No session came to be: nothing listens there, the password is wrong, the database does not exist.
        case connectFailed
        /// The session ended under the statement. Whether it took effect is unknown, unless the message says so.
        case connectionLost
        /// An answer or a free connection did not come in time. The statement was cancelled on the server.
        case timeout
        /// The pool was closed, or the connection used after it was given back.
        case closed
        /// More callers wait for a connection than the pool admits.
        case exhausted
        /// The server refused the statement; the session is fine.
        case server(sqlState: String)
        /// The transaction had failed before, so it was rolled back although its body returned.
        case transactionAborted
        /// A value cannot be sent: text with a NUL character, too many binds.
        case encode
        /// A column is missing, is NULL or is not what was asked for.
        case decode
        /// The database and the migrations contradict each other.
        case migration
    }

    package let kind: Kind
    package let message: String
    package let sqlState: String?
    package let constraint: String?
    package let table: String?
    package let detail: String?  // the server's; may quote values, so it is not part of `description`
    package let hint: String?

    init(
        _ kind: Kind, _ message: String, sqlState: String? = nil, constraint: String? = nil, table: String? = nil,
        detail: String? = nil, hint: String? = nil
    ) {
        self.kind = kind
        self.message = message
        self.sqlState = sqlState
        self.constraint = constraint
        self.table = table
        self.detail = detail
        self.hint = hint
    }

    package var isUniqueViolation: Bool { sqlState == "23505" }
    package var isForeignKeyViolation: Bool { sqlState == "23503" }
    /// The server rolled the transaction back because of others running beside it; the same again may succeed.
    package var isSerializationFailure: Bool { sqlState == "40001" || sqlState == "40P01" }

    package var description: String {
        var text = message
        if let sqlState { text += " (SQLSTATE \(sqlState))" }
        if let hint { text += " \(hint)" }
        return text
    }
}
