import Foundation
import PostgreSQL

/// The hosts that run an agent: how much they hold, and whether they take anything.
///
/// Who places or starts an environment holds a share of the host's row (``Placement``), and who changes the state of a
/// host locks it: once a host is `draining`, nobody who thinks it ready is still about to use it.
package struct HostStore: Sendable {
    let database: PostgresPool

    /// Throws `already_exists` if there is one of that name, `invalid_request`, naming the field.
    package func add(
        name: String, address: String, capacity: MachineSize, by actor: AuditActor, requestID: String? = nil
    ) async throws -> VMHost {
        guard Self.isName(name) else {
            throw ServiceError.invalid("name", "has no legal form", "Give letters, digits, '.' and '-', at most 100.")
        }
        guard Label.isLegal(address, 1...255) else {
            throw ServiceError.invalid("address", "has no legal form", "Give a host name or an address.")
        }
        for (field, value) in [
            ("vcpus", capacity.vcpus), ("memoryMb", capacity.memoryMb), ("diskMb", capacity.diskMb),
        ] where !(1...1_000_000_000).contains(value) {
            throw ServiceError.invalid(field, "is \(value)", "Give what environments may use of the host.")
        }
        return try await ServiceError.translating("Host '\(name)' not added") {
            do {
                let id = HostID()
                try await database.execute(
                    """
                    WITH changed AS (
                        INSERT INTO firecracker_hosts (id, name, address, state, vcpus, memory_mb, disk_mb)
                        VALUES (\(id), \(name), \(address), 'ready', \(capacity.vcpus), \(capacity.memoryMb),
                            \(capacity.diskMb))
                        RETURNING id),
                    \(Self.line("host.add", name, ["address": address], actor, requestID))
                    SELECT id FROM changed
                    """)
                return try await database.withConnection { try await Self.host("hosts.id = \(id)", name, on: $0) }
            } catch let error as PostgresError where error.isUniqueViolation {
                throw ServiceError(
                    .alreadyExists, "Host '\(name)' not added: there is one of that name.", hint: "Choose another.")
            }
        }
    }

    /// By name, at most 500; `after` continues after the last of a page.
    package func list(limit: Int = 100, after: String? = nil) async throws -> [VMHost] {
        try await ServiceError.translating("Hosts not read") {
            try await database.query(
                Self.selection(
                    where: "hosts.name > \(after?.withoutNUL ?? "")",
                    tail: "ORDER BY hosts.name LIMIT \(min(max(limit, 1), 500))")
            ).map(VMHost.init)
        }
    }

    package func find(_ name: String) async throws -> VMHost? {
        guard Self.isName(name) else { return nil }
        return try await ServiceError.translating("Host '\(name)' not read") {
            try await database.query(Self.selection(where: "hosts.name = \(name)")).first.map(VMHost.init)
        }
    }

    package func find(_ id: HostID) async throws -> VMHost? {
        try await ServiceError.translating("Host \(id) not read") {
            try await database.query(Self.selection(where: "hosts.id = \(id)")).first.map(VMHost.init)
        }
    }

    // MARK: States. All are idempotent, and throw `host_not_found` and `illegal_transition`.

    /// Places nothing more on it.
    @discardableResult
    package func cordon(_ name: String, by actor: AuditActor, requestID: String? = nil) async throws -> VMHost {
        try await set(.cordoned, name, "host.cordon", actor, requestID)
    }

    /// Has it take environments again, out of whatever an admin put it into.
    @discardableResult
    package func uncordon(_ name: String, by actor: AuditActor, requestID: String? = nil) async throws -> VMHost {
        try await set(.ready, name, "host.uncordon", actor, requestID)
    }

    /// Has a worker stop what runs on it; then it is in `maintenance` (``settleDrained()``).
    @discardableResult
    package func drain(_ name: String, by actor: AuditActor, requestID: String? = nil) async throws -> VMHost {
        try await set(.draining, name, "host.drain", actor, requestID)
    }

    /// For a host on which nothing runs.
    @discardableResult
    package func maintenance(_ name: String, by actor: AuditActor, requestID: String? = nil) async throws -> VMHost {
        try await set(.maintenance, name, "host.maintenance", actor, requestID)
    }

    private func set(
        _ state: HostState, _ name: String, _ action: String, _ actor: AuditActor, _ requestID: String?
    ) async throws -> VMHost {
        try await changing(name) { host, connection in
            guard host.state != state else { return host }
            guard host.state.successors.contains(state) else {
                throw ServiceError(
                    .illegalTransition,
                    "Host '\(name)' cannot become '\(state.rawValue)' while it is '\(host.state.rawValue)'.",
                    hint: "It can become \(host.state.successors.map(\.rawValue).sorted().joined(separator: ", ")).")
            }
            guard state != .maintenance || host.awakeEnvironments == 0 else {
                throw ServiceError(
                    .illegalTransition,
                    "Host '\(name)' cannot become 'maintenance': \(host.awakeEnvironments) environments run on it.",
                    hint: "Drain it: it is in maintenance when the last has stopped.")
            }
            try await connection.execute(
                """
                WITH changed AS (
                    UPDATE firecracker_hosts SET state = \(state), updated_at = now() WHERE id = \(host.id)
                    RETURNING id),
                \(Self.line(action, name, ["from": host.state.rawValue], actor, requestID))
                SELECT id FROM changed
                """)
            return try await Self.host("hosts.id = \(host.id)", name, on: connection)
        }
    }

    /// Puts the draining hosts on which nothing runs any more into maintenance, and returns their names. For the sweep.
    @discardableResult
    package func settleDrained(by actor: AuditActor) async throws -> [String] {
        try await ServiceError.translating("Drained hosts not settled") {
            try await database.query(
                """
                WITH changed AS (
                    UPDATE firecracker_hosts SET state = 'maintenance', updated_at = now()
                    WHERE state = 'draining' AND NOT EXISTS (
                        SELECT FROM dev_environments
                        WHERE host_id = firecracker_hosts.id AND state IN \(raw: Self.awakeStates))
                    RETURNING id, name),
                audited AS (
                    INSERT INTO environment_audit_log (actor_kind, actor_id, action, detail)
                    SELECT \(actor.kind)::text, \(actor.id)::text, 'host.drained', jsonb_build_object('host', name)
                    FROM changed)
                SELECT name FROM changed ORDER BY name
                """
            ).map { try $0.decode("name") }
        }
    }

    /// Forgets a host on which nothing lives. Throws `host_not_found`, and `illegal_transition` otherwise.
    package func remove(_ name: String, by actor: AuditActor, requestID: String? = nil) async throws {
        try await changing(name) { host, connection in
            guard host.environments == 0 else {
                throw ServiceError(
                    .illegalTransition, "Host '\(name)' not removed: \(host.environments) environments live on it.",
                    hint: "Destroy them first; 'cordon' keeps new ones away.")
            }
            // What was destroyed on it need not know it any more.
            try await connection.execute("UPDATE dev_environments SET host_id = NULL WHERE host_id = \(host.id)")
            try await connection.execute(
                """
                WITH changed AS (DELETE FROM firecracker_hosts WHERE id = \(host.id) RETURNING id),
                \(Self.line("host.remove", name, ["address": host.address], actor, requestID))
                SELECT id FROM changed
                """)
        }
    }

    /// Lends a host as it is while nobody else changes it or places on it.
    private func changing<Result>(
        _ name: String, _ body: (VMHost, PostgresConnection) async throws -> Result
    ) async throws -> Result {
        guard Self.isName(name) else { throw Self.notFound(name) }
        return try await ServiceError.translating("Host '\(name)' not changed") {
            try await database.withTransaction { connection in
                // `FOR UPDATE`: also those wait who are about to name it in a row of theirs.
                _ = try await connection.query("SELECT id FROM firecracker_hosts WHERE name = \(name) FOR UPDATE")
                return try await body(try await Self.host("hosts.name = \(name)", name, on: connection), connection)
            }
        }
    }

    // MARK: Rows

    /// States in which an environment has, or is about to have, something running.
    static let awakeStates = "('provisioning', 'starting', 'running', 'stopping', 'destroying')"

    /// Hosts with what lives on them, counted as the statement sees it.
    private static func selection(where condition: SQL, tail: SQL = "") -> SQL {
        """
        SELECT hosts.*, living.* FROM firecracker_hosts AS hosts, LATERAL (
            SELECT count(*) AS environments, count(*) FILTER (WHERE state IN \(raw: awakeStates)) AS awake,
                COALESCE(sum(vcpus), 0) AS used_vcpus, COALESCE(sum(memory_mb), 0) AS used_memory_mb,
                COALESCE(sum(disk_mb), 0) AS used_disk_mb
            FROM dev_environments WHERE host_id = hosts.id AND state <> 'destroyed') AS living
        WHERE \(condition) \(tail)
        """
    }

    private static func host(
        _ condition: SQL, _ name: String, on connection: PostgresConnection
    ) async throws -> VMHost {
        guard let row = try await connection.query(selection(where: condition)).first else { throw notFound(name) }
        return try VMHost(row: row)
    }

    private static func line(
        _ action: String, _ name: String, _ detail: [String: String], _ actor: AuditActor, _ requestID: String?
    ) -> SQL {
        AuditLog.line(
            action, owner: "NULL::uuid", from: "changed", actor: actor, requestID: requestID,
            detail: detail.merging(["host": name]) { own, _ in own })
    }

    private static func isName(_ name: String) -> Bool {
        (1...100).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    private static func notFound(_ name: String) -> ServiceError {
        ServiceError(
            .hostNotFound, "There is no host '\(name.prefix(100))'.", hint: "Check the name.")
    }
}

extension VMHost {
    init(row: PostgresRow) throws {
        id = try row.decode("id")
        name = try row.decode("name")
        address = try row.decode("address")
        state = try row.decode("state")
        capacity = MachineSize(
            vcpus: try row.decode("vcpus"), memoryMb: try row.decode("memory_mb"), diskMb: try row.decode("disk_mb"))
        used = MachineSize(
            vcpus: try row.decode("used_vcpus"), memoryMb: try row.decode("used_memory_mb"),
            diskMb: try row.decode("used_disk_mb"))
        environments = try row.decode("environments")
        awakeEnvironments = try row.decode("awake")
        lastSeenAt = try row.decode("last_seen_at")
        createdAt = try row.decode("created_at")
        updatedAt = try row.decode("updated_at")
    }
}
