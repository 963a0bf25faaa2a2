/// Who a request comes from, as its token proved.
package struct Caller: Sendable, Hashable {
    package enum Role: String, Sendable, Codable, CaseIterable { case user, admin }
    package enum Scope: String, Sendable, Codable, CaseIterable { case user, admin }

    package let userID: UserID
    package let tokenID: TokenID
    package let role: Role
    package let scopes: Set<Scope>
    package let tier: Tier

    package init(userID: UserID, tokenID: TokenID, role: Role, scopes: Set<Scope>, tier: Tier) {
        self.userID = userID
        self.tokenID = tokenID
        self.role = role
        self.scopes = scopes
        self.tier = tier
    }

    /// An admin who uses a token of that scope: the role alone does not lend a user's token an admin's power.
    package var isAdmin: Bool { role == .admin && scopes.contains(.admin) }
}
