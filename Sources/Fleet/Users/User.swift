package import Foundation

/// Somebody who may use the service, or may not while suspended.
package struct User: Sendable, Hashable {
    package let id: UserID
    package let name: String
    package let email: String?
    package let role: Caller.Role
    package let tier: Tier
    package let suspendedAt: Date?
    package let createdAt: Date

    package var isSuspended: Bool { suspendedAt != nil }
}

/// What may be changed of a user; `nil` leaves it as it is. For tier and suspension there are calls of their own.
package struct UserUpdate: Sendable {
    package var name: String?
    /// `.some(nil)`: none.
    package var email: String??
    package var role: Caller.Role?

    package init() {}
}

/// What is known of a token: everything but the token.
package struct APIToken: Sendable, Hashable {
    package let id: TokenID
    package let userID: UserID
    package let name: String
    package let scopes: Set<Caller.Scope>
    package let createdAt: Date
    package let expiresAt: Date?
    package let revokedAt: Date?
    /// To the minute.
    package let lastUsedAt: Date?
}
