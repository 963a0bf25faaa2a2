import Fleet
import Foundation
import HTTPTypes

/// What `POST /v1/tokens` asks for.
struct NewToken: Sendable, Equatable {
    var name: String
    var scopes: Set<Caller.Scope> = [.user]
    var expiresInSeconds: Int?

    var expiresAt: Date? { expiresInSeconds.map { Date.now.addingTimeInterval(Double($0)) } }

    static func decode(_ bytes: [UInt8]) throws(ServiceError) -> NewToken {
        var reader = try JSONReader(bytes)
        var name: String?
        var token = NewToken(name: "")
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                switch field {
                case "name":
                    let text = try reader.string()
                    guard (1...100).contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
                        throw reader.invalid("must have 1 to 100 characters")
                    }
                    name = text
                case "scopes":
                    if try reader.null() { return }
                    token.scopes = []
                    try reader.array { (reader: inout JSONReader) throws(ServiceError) in
                        guard let scope = Caller.Scope(rawValue: try reader.string()) else {
                            throw reader.invalid("is not a scope", hint: "Scopes are 'user' and 'admin'.")
                        }
                        token.scopes.insert(scope)
                    }
                    guard !token.scopes.isEmpty else { throw reader.invalid("must not be empty") }
                case "expiresInSeconds":
                    if try reader.null() { return }
                    let seconds = try reader.integer()
                    guard (1...315_360_000).contains(seconds) else {
                        throw reader.invalid("must be from 1 to 315360000", hint: "Leave it out for no end.")
                    }
                    token.expiresInSeconds = seconds
                default:
                    throw reader.invalid(
                        "is not a known field", hint: "The body has name, scopes and expiresInSeconds.")
                }
            }
        }
        guard let name else {
            throw ServiceError(
                .invalidRequest, "'name' is missing.", hint: "Send a name to know the token by, such as 'laptop'.")
        }
        token.name = name
        return token
    }
}

/// `/v1/tokens`: the caller's own.
struct TokenRoutes: Sendable {
    let operations: GatewayOperations
    let configuration: GatewayConfiguration

    var routes: [Route] {
        [
            .authenticated(
                .get, "/v1/tokens",
                RouteDescription(
                    id: "listTokens", group: .tokens, summary: "Your tokens",
                    answers: [.json("All of them, without their text.", Schemas.list("tokens", of: "Token"))])
            ) { exchange, caller, _ in
                struct List: Encodable { let tokens: [TokenView] }
                try await exchange.respond(json: List(tokens: try await operations.tokens(caller)))
            },
            .authenticated(
                .post, "/v1/tokens",
                RouteDescription(
                    id: "createToken", group: .tokens, summary: "Make a token",
                    detail: "Its text is in this answer and never shown again.", parameters: [Idempotency.parameter],
                    body: .json(
                        Schema.reference("NewToken"), example: ["name": "laptop", "expiresInSeconds": 2_592_000]),
                    answers: [.json(.created, "The token with its text.", Schema.reference("Token"))],
                    errors: [.forbidden, .quotaExceeded] + Idempotency.errors)
            ) { exchange, caller, _ in
                let body = try await exchange.jsonBody(upTo: 65_536, within: configuration.bodyTimeout)
                let token = try NewToken.decode(body)
                guard !token.scopes.contains(.admin) || caller.isAdmin else {
                    throw ServiceError(
                        .forbidden, "Token not created: the scope 'admin' is for admins.",
                        hint: "Ask for the scope 'user', or use an admin's token.")
                }
                try await Idempotency(store: operations.environments.idempotency)
                    .answer(exchange, caller, .created, body: body, shown: { $0 }) { keeper in
                        try await operations.createToken(caller, token, exchange.id, keeper)
                    }
            },
            .authenticated(
                .delete, "/v1/tokens/{id}",
                RouteDescription(
                    id: "revokeToken", group: .tokens, summary: "Revoke a token, everywhere at once",
                    parameters: [.path("id", "The token's id.", Schema.id(""))],
                    answers: [.empty(.noContent, "It is good for nothing any more.")], errors: [.tokenNotFound])
            ) { exchange, caller, parameters in
                let id = try TokenID(named: parameters["id"] ?? "")
                try await operations.revokeToken(id, caller, exchange.id)
                try await exchange.respond(.noContent)
            },
        ]
    }
}

extension TokenID {
    /// The id that a path names. Throws `token_not_found`.
    init(named text: String) throws(ServiceError) {
        guard let id = TokenID(text) else {
            throw ServiceError(
                .tokenNotFound, "There is no token \(text.prefix(64)).", hint: "See GET /v1/tokens for yours.")
        }
        self = id
    }
}
