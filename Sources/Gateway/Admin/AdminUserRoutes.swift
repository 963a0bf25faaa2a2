import Fleet
import HTTPTypes

/// Users, what they may have, and their tokens.
extension AdminRoutes {
    private struct One: Encodable { let user: AdminUserView }
    private struct Whole: Encodable {
        let user: AdminUserView
        let quota: QuotaView
        let overrides: QuotaOverridesView
    }
    private struct Allowance: Encodable {
        let quota: QuotaView
        let overrides: QuotaOverridesView
    }

    private static let user = Schemas.wrapped("user", Schema.reference("User"))
    private static let allowance = Schema.view(
        "", ["quota": Schema.reference("Quota"), "overrides": Schema.reference("QuotaOverrides")])

    var users: [Route] {
        [
            route(
                .get, "/users", "ListUsers", "Users, by id",
                query: [
                    .query("search", "What name or email begin with.", Schema.string("")),
                    .query("role", "", Schema.choice("", of: Caller.Role.self)),
                    .query("tier", "", Schema.choice("", of: Tier.self)),
                    .query("suspended", "Only those, or only the others.", Schema.boolean("")),
                    .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...200)),
                    .query("after", "The id of the last of the page before.", Schema.id("")),
                ], .json("A page.", Schemas.list("users", of: "User"))
            ) { call in
                var filter = UserFilter()
                filter.prefix = call.target["search"]
                filter.role = try call.target.choice("role")
                filter.tier = try call.target.choice("tier")
                filter.isSuspended = try call.target.flag("suspended")
                let after = try call.target.identifier("after", UserID.init(_:))
                let limit = try call.target.limit(1...200) ?? 100
                let users = try await call.fleet.users.search(filter, limit: limit, after: after)
                try await call.exchange.respond(json: ["users": users.map { AdminUserView($0) }])
            },
            route(
                .post, "/users", "CreateUser", "Create a user",
                body: .json(Schema.reference("NewUser"), example: ["name": "ada", "tier": "pro"]),
                .json(.created, "They have no token yet.", Self.user), errors: [.alreadyExists]
            ) { call in
                let body = try await call.body()
                let new = try AdminBody.newUser(body)
                try await call.create(body) {
                    One(
                        user: AdminUserView(
                            try await call.fleet.users.create(
                                email: new.email, name: new.name, role: new.role, tier: new.tier, by: call.actor,
                                requestID: call.requestID)))
                }
            },
            route(
                .get, "/users/{user}", "GetUser", "One user, with what they may have and have",
                .json("", Self.allowance.describing("", adding: ["user": Schema.reference("User")]))
            ) { call in
                let user = try await call.user()
                let allowance = try await Self.allowance(of: user.id, call)
                try await call.exchange.respond(
                    json: Whole(user: AdminUserView(user), quota: allowance.quota, overrides: allowance.overrides))
            },
            route(
                .patch, "/users/{user}", "UpdateUser", "Change a user; the next call of theirs sees it",
                detail: "Machines that are there keep the size they were made with.",
                body: .json(Schema.reference("UserChange"), example: ["tier": "pro"]),
                .json("As they are now.", Self.user), errors: [.alreadyExists], updateUser),
            suspension("suspend", "SuspendUser", "Refuse a user's tokens from now on; their VMs are left alone"),
            suspension("resume", "ResumeUser", "Take a user's tokens again"),
            route(
                .put, "/users/{user}/quota", "SetQuota", "Set what a user may have in place of what the tier says",
                detail: "All of it is replaced: what is left out or null is the tier's.",
                body: .json(Schema.reference("QuotaOverrides"), example: ["environments": 10, "runtimeHours": 200]),
                .json("As it is now.", Self.allowance)
            ) { call in
                let overrides = try AdminBody.overrides(try await call.body())
                let user = try await call.user()
                try await call.fleet.quotas.set(overrides, of: user.id, by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(json: try await Self.allowance(of: user.id, call))
            },
        ]
    }

    @Sendable private func updateUser(_ call: AdminCall) async throws {
        let change = try AdminBody.userChange(try await call.body())
        var user = try await call.user()
        if change.update.role == .user { try refuseSelf(call, user, "made a plain user") }
        if let tier = change.tier {
            user = try await call.fleet.users.setTier(
                tier, of: user.id, by: call.actor, requestID: call.requestID)
        }
        if change.hasUpdate {
            user = try await call.fleet.users.update(
                user.id, change.update, by: call.actor, requestID: call.requestID)
        }
        try await call.exchange.respond(json: One(user: AdminUserView(user)))
    }

    private func suspension(_ verb: String, _ id: String, _ summary: String) -> Route {
        let suspends = verb == "suspend"
        return route(
            .post, "/users/{user}/\(verb)", id, summary, .json("As they are now.", Self.user)
        ) { call in
            let user = try await call.user()
            if suspends { try refuseSelf(call, user, "suspended") }
            let changed = try await call.fleet.users.setSuspended(
                suspends, user.id, by: call.actor, requestID: call.requestID)
            try await call.exchange.respond(json: One(user: AdminUserView(changed)))
        }
    }

    /// There is always an admin left, for nobody can shut themselves out.
    private func refuseSelf(_ call: AdminCall, _ user: User, _ participle: String) throws {
        guard user.id == call.caller.userID else { return }
        throw ServiceError(
            .forbidden, "You cannot be \(participle) by yourself.", hint: "Let another admin do it.")
    }

    private static func allowance(of user: UserID, _ call: AdminCall) async throws -> Allowance {
        let quotas = call.fleet.quotas
        return Allowance(
            quota: QuotaView(try await quotas.limits(of: user), try await quotas.usage(of: user)),
            overrides: QuotaOverridesView(try await quotas.overrides(of: user)))
    }

    // MARK: Tokens

    var tokens: [Route] {
        [
            route(
                .get, "/users/{user}/tokens", "ListTokens", "A user's tokens, newest first",
                .json("Without their text.", Schemas.list("tokens", of: "Token"))
            ) { call in
                let tokens = try await call.fleet.tokens.list(of: try await call.user().id)
                try await call.exchange.respond(json: ["tokens": tokens.map { TokenView($0) }])
            },
            route(
                .post, "/users/{user}/tokens", "CreateToken", "Make a token for a user",
                detail: "Its text is in this answer and never shown again.",
                body: .json(Schema.reference("NewToken"), example: ["name": "laptop"]),
                .json(.created, "The token with its text.", Schema.reference("Token")), errors: [.quotaExceeded]
            ) { call in
                let body = try await call.body()
                let new = try NewToken.decode(body)
                let user = try await call.user()
                try await call.create(body) {
                    let (text, token) = try await call.fleet.tokens.create(
                        for: user.id, name: new.name, scopes: new.scopes, expiresAt: new.expiresAt, by: call.actor,
                        requestID: call.requestID)
                    return TokenView(token, text: text)
                }
            },
            route(
                .delete, "/users/{user}/tokens/{token}", "RevokeToken", "Revoke a user's token, everywhere at once",
                .empty(.noContent, "It is good for nothing any more.")
            ) { call in
                let user = try await call.user()
                let id = try TokenID(named: call.named("token"))
                try await call.fleet.tokens.revoke(id, of: user.id, by: call.caller, requestID: call.requestID)
                try await call.exchange.respond(.noContent)
            },
        ]
    }
}
