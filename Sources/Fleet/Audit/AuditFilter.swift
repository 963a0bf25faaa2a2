package import Foundation
import PostgreSQL

/// Which lines of the audit log; what is `nil` leaves none out.
package struct AuditFilter: Sendable, Hashable {
    /// Whose account or environment it was done to.
    package var user: UserID?
    package var environment: EnvironmentID?
    package var actorKind: AuditActor.Kind?
    /// A user's id, a worker's name, or the part of the system.
    package var actorID: String?
    /// What the action begins with: `user.` finds `user.create`.
    package var action: String?
    /// This one is left out.
    package var otherThan: String?
    package var requestID: String?
    package var errorCode: String?
    /// `true`: what was refused or failed; `false`: what was done.
    package var hasError: Bool?
    package var since: Date?
    /// What happened at this time is not among them.
    package var until: Date?

    package init() {}

    /// Each begins with `AND`.
    var conditions: SQL {
        var all: SQL = ""
        func add(_ condition: SQL) { all = "\(all) AND \(condition)" }
        if let user { add("user_id = \(user)") }
        if let environment { add("environment_id = \(environment)") }
        if let actorKind { add("actor_kind = \(actorKind)") }
        if let actorID { add("actor_id = \(actorID.withoutNUL)") }
        // As a range, for the index: LIKE on something bound cannot use it.
        if let action, !action.isEmpty {
            let prefix = action.withoutNUL
            add("action ~>=~ \(prefix) AND action ~<~ \(prefix + "\u{10FFFF}")")
        }
        if let otherThan { add("action <> \(otherThan)") }
        if let requestID { add("request_id = \(requestID.withoutNUL)") }
        if let errorCode { add("error_code = \(errorCode.withoutNUL)") }
        if let hasError { add(hasError ? "error_code IS NOT NULL" : "error_code IS NULL") }
        if let since { add("created_at >= \(since)") }
        if let until { add("created_at < \(until)") }
        return all
    }
}

extension String {
    /// PostgreSQL's text holds no NUL: what is searched for with one is nowhere.
    var withoutNUL: String { replacing("\0", with: "\u{FFFD}") }
}
