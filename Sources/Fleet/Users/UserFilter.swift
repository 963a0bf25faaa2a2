import PostgreSQL

/// Which users; what is `nil` leaves none out.
package struct UserFilter: Sendable, Hashable {
    /// What name or email begin with, in letters of any case.
    package var prefix: String?
    package var role: Caller.Role?
    package var tier: Tier?
    package var isSuspended: Bool?

    package init() {}

    /// Each begins with `AND`.
    var conditions: SQL {
        var all: SQL = ""
        func add(_ condition: SQL) { all = "\(all) AND \(condition)" }
        if let prefix, !prefix.isEmpty {
            let text = prefix.withoutNUL
            add("(starts_with(lower(name), lower(\(text))) OR starts_with(lower(email), lower(\(text))))")
        }
        if let role { add("role = \(role)") }
        if let tier { add("tier = \(tier)") }
        if let isSuspended { add(isSuspended ? "suspended_at IS NOT NULL" : "suspended_at IS NULL") }
        return all
    }
}
