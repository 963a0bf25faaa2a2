/// Who did something, as the audit log names them.
package struct AuditActor: Sendable, Hashable, Codable, CustomStringConvertible {
    package enum Kind: String, Sendable, Codable, CaseIterable { case user, admin, worker, system }

    package let kind: Kind
    /// A user's id, a worker's name, or the part of the system.
    package let id: String

    package init(kind: Kind, id: String) {
        self.kind = kind
        self.id = id
    }

    /// The caller, in the power they act with.
    package init(_ caller: Caller) {
        self.init(kind: caller.isAdmin ? .admin : .user, id: caller.userID.description)
    }

    package static func worker(_ name: String) -> AuditActor { AuditActor(kind: .worker, id: name) }
    package static func system(_ part: String) -> AuditActor { AuditActor(kind: .system, id: part) }

    package var description: String { "\(kind.rawValue):\(id)" }
}
