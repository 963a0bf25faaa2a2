/// What one NOTIFY sent.
package struct PostgresNotification: Hashable, Sendable {
    package let channel: String
    package let payload: String
    package let backend: Int32  // the process of the session that sent it
}
