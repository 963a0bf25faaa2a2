import Foundation
import Logging

extension EnvironmentStore {
    /// The environment of that id or slug, if the caller may do `action` to it: their own, or anybody's for an admin
    /// where admins are admitted. Throws `environment_not_found` otherwise; that somebody tried to do it to another's
    /// is a line in the audit log.
    package func authorized(
        _ name: String, for caller: Caller, to action: String, requestID: String?, admitsAdmins: Bool = true
    ) async throws -> Environment {
        let found: Environment? =
            if let id = EnvironmentID(name) {
                try await find(id)
            } else if let slug = Slug(rawValue: name) {
                try await find(slug: slug)
            } else {
                nil
            }
        return try await authorized(found, name, for: caller, action, requestID, admitsAdmins)
    }

    package func authorized(
        _ id: EnvironmentID, for caller: Caller, to action: String, requestID: String?
    ) async throws -> Environment {
        try await authorized(try await find(id), "\(id)", for: caller, action, requestID, true)
    }

    private func authorized(
        _ found: Environment?, _ name: String, for caller: Caller, _ action: String, _ requestID: String?,
        _ admitsAdmins: Bool
    ) async throws -> Environment {
        let refusal = ServiceError.environmentNotFound(String(name.prefix(64)))
        guard let found else { throw refusal }
        guard found.userID == caller.userID || (admitsAdmins && caller.isAdmin) else {
            await recordRefusal(
                action, of: found.id, owner: found.userID, by: AuditActor(caller), requestID, code: .forbidden)
            throw refusal  // whether it exists is not told
        }
        return found
    }

    /// Runs `body`, and writes a line of what it refuses to do: outside its transaction, which is rolled back.
    func auditingRefusal<Result>(
        _ action: String, of id: EnvironmentID?, owner: UserID?, by actor: AuditActor, _ requestID: String?,
        _ body: () async throws -> Result
    ) async throws -> Result {
        do {
            return try await body()
        } catch let error as ServiceError where error.code.isRefusal {
            await recordRefusal(action, of: id, owner: owner, by: actor, requestID, code: error.code)
            throw error
        }
    }

    /// Best effort: what was refused stays refused if it cannot be written down.
    private func recordRefusal(
        _ action: String, of id: EnvironmentID?, owner: UserID?, by actor: AuditActor, _ requestID: String?,
        code: ServiceError.Code
    ) async {
        do {
            try await audit.record(
                action, actor: actor, environment: id, user: owner, requestID: requestID, errorCode: code.rawValue)
        } catch is CancellationError {
            return
        } catch {
            logger.warning(
                "refusal missing from the audit log",
                metadata: ["action": "\(action)", "code": "\(code.rawValue)", "error": "\(error)"])
        }
    }
}

extension ServiceError.Code {
    /// Whether it says no to what was understood and could have been done: what an audit log is read for.
    fileprivate var isRefusal: Bool { Self.refusals.contains(self) }

    private static let refusals: Set<ServiceError.Code> = [
        .forbidden, .quotaExceeded, .limitExceeded, .illegalTransition, .noHostAvailable, .hostUnavailable,
        .providerUnknown,
    ]
}
