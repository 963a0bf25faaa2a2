package import Fleet

/// The account a fresh installation begins with, and the token of the machine's owner.
package struct FirstAdmin: Sendable {
    package let user: User
    package let token: String
    /// Whether the token was made now: then it has to be written down, nobody can read it again.
    package let isNewToken: Bool

    package static let name = "admin"

    /// Finds the first admin, or makes one, and a token for them unless `savedToken` is a good one.
    package static func ensure(in fleet: Fleet, savedToken: String?) async throws -> FirstAdmin {
        let user = try await ensureUser(in: fleet)
        if let savedToken, let caller = try await fleet.authenticator.authenticate(savedToken),
            caller.userID == user.id
        {
            return FirstAdmin(user: user, token: savedToken, isNewToken: false)
        }
        let (token, _) = try await fleet.tokens.create(
            for: user.id, name: "martlet up", scopes: [.user, .admin], by: .system("up"))
        return FirstAdmin(user: user, token: token, isNewToken: true)
    }

    private static func ensureUser(in fleet: Fleet) async throws -> User {
        if let admin = try await fleet.users.firstAdmin() { return admin }
        do {
            return try await fleet.users.create(name: name, role: .admin, tier: .pro, by: .system("up"))
        } catch let error as ServiceError where error.code == .alreadyExists {
            // Another server made it a moment ago; anything else that has the name is no admin, and none is made of it.
            if let admin = try await fleet.users.firstAdmin() { return admin }
            throw error
        }
    }
}
