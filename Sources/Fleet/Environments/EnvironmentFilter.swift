import PostgreSQL

/// Which environments; what is `nil` leaves none out.
package struct EnvironmentFilter: Sendable, Hashable {
    package var states: Set<EnvironmentState>?
    package var provider: String?
    package var owner: UserID?
    package var host: HostID?
    package var kind: Environment.Kind?
    package var tier: Tier?
    /// What the name, in letters of any case, or the slug begins with.
    package var prefix: String?
    /// Those that run, and have not been used for so long.
    package var idleFor: Duration?
    /// Also those that are no more. Asking for the state `destroyed` includes them too.
    package var includesDestroyed = false

    package init() {}

    /// Each begins with `AND`.
    var conditions: SQL {
        var all: SQL = ""
        func add(_ condition: SQL) { all = "\(all) AND \(condition)" }
        if let states { add("state = ANY(\(states.map(\.rawValue).sorted())::text[])") }
        if states == nil, !includesDestroyed { add("state <> 'destroyed'") }
        if let provider { add("provider = \(provider.withoutNUL)") }
        if let owner { add("user_id = \(owner)") }
        if let host { add("host_id = \(host)") }
        if let kind { add("kind = \(kind)") }
        if let tier { add("tier = \(tier)") }
        if let prefix, !prefix.isEmpty {
            let text = prefix.withoutNUL
            add("(starts_with(lower(name), lower(\(text))) OR starts_with(slug, \(text)))")
        }
        if let idleFor {
            add(
                """
                state = 'running' AND COALESCE(last_activity_at, created_at)
                    <= now() - make_interval(secs => \(idleFor / .seconds(1))::double precision)
                """)
        }
        return all
    }
}
