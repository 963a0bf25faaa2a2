import Fleet
import Foundation
import HTTPTypes

/// `/login` and `/logout`. A session is begun by a form, never by a link alone: what fetches links ahead of the person
/// would use the code up.
struct SignInRoutes: Sendable {
    let shell: PageShell
    let sessions: SessionOperations
    let configuration: GatewayConfiguration

    var routes: [Route] {
        [
            .openPage(.get, "/login") { exchange in
                let next = Self.path(exchange.target["next"])
                var complaint: String?
                if let value = exchange.head.cookie(Authentication.cookie), exchange.target["code"] == nil {
                    do {
                        if try await sessions.authenticate(value) != nil {
                            return try await exchange.redirect(to: next)
                        }
                    } catch let error as ServiceError where error.code == .accountSuspended {
                        complaint = Self.words(of: error)  // whoever is here may sign in as another
                    }
                }
                try await show(exchange, next: next, code: exchange.target["code"], complaint: complaint)
            },
            .openPage(.post, "/login") { exchange in
                try exchange.head.checkSite(isPage: false)
                let form = try await exchange.form(within: configuration.bodyTimeout)
                let next = Self.path(form["next"])
                let session: String?
                let complaint: String
                do {
                    if let code = form["code"] {
                        complaint = "This link was used already, or is older than ten minutes. Sign in with a token."
                        session = try await sessions.beginWithCode(code, exchange.id)
                    } else {
                        complaint = """
                            This token is unknown, revoked or expired. Make another with 'martlet token create', or ask \
                            an admin for one.
                            """
                        let token = (form["token"] ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
                        session = try await sessions.beginWithToken(token, exchange.id)
                    }
                } catch let error as ServiceError where error.code == .accountSuspended {
                    return try await show(
                        exchange, next: next, complaint: Self.words(of: error), status: error.code.status)
                }
                guard let session else {
                    return try await show(exchange, next: next, complaint: complaint, status: .unauthorized)
                }
                let cookie = Self.cookie(session, seconds: WebSessionStore.cookieSeconds, for: exchange)
                try await exchange.redirect(to: next, headers: [.setCookie: cookie])
            },
            .openPage(.post, "/logout") { exchange in
                try exchange.head.checkSite(isPage: false)
                if let value = exchange.head.cookie(Authentication.cookie) {
                    try await sessions.end(value, exchange.id)
                }
                try await exchange.redirect(
                    to: "/login", headers: [.setCookie: Self.cookie("", seconds: 0, for: exchange)])
            },
        ]
    }

    private func show(
        _ exchange: Exchange, next: String, code: String? = nil, complaint: String? = nil,
        status: HTTPResponse.Status = .ok
    ) async throws {
        var context: PageShell.Context = ["next": next]
        if let code, SignInRoutes.isCode(code) { context["code"] = code }
        if let complaint { context["complaint"] = complaint }
        try await shell.show(exchange, "login", title: "Sign in", status: status, context: context)
    }

    private static func words(of error: ServiceError) -> String { "\(error.message) \(error.hint)" }

    private static func isCode(_ text: String) -> Bool {
        (1...100).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
    }

    /// Where to go afterwards: a path of this server. Browsers take `//host` and `/\host` for another's.
    static func path(_ text: String?) -> String {
        guard let text, text.first == "/", text.utf8.count <= 2_048,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }), !text.hasPrefix("//")
        else { return "/" }
        return text
    }

    private static func cookie(_ value: String, seconds: Int, for exchange: Exchange) -> String {
        "\(Authentication.cookie)=\(value); Path=/; Max-Age=\(seconds); HttpOnly; SameSite=Strict"
            + (exchange.isBehindTLS ? "; Secure" : "")
    }
}

extension Exchange {
    /// The fields of a form. Throws what reading a body throws, and `unsupported_media_type`.
    func form(within timeout: Duration) async throws -> [String: String] {
        let type = head.headerFields[.contentType] ?? ""
        guard type.lowercased().hasPrefix("application/x-www-form-urlencoded") else {
            throw ServiceError(
                .unsupportedMediaType, "A form is expected here.", hint: "Use the page, or the API under /v1.")
        }
        let bytes = try await wholeBody(upTo: 16_384, within: timeout)
        var form: [String: String] = [:]
        for field in String(decoding: bytes, as: UTF8.self).split(separator: "&") {
            let pair = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, let name = RequestTarget.decoded(pair[0], isQuery: true),
                let value = RequestTarget.decoded(pair[1], isQuery: true)
            else { continue }
            form[name] = value
        }
        return form
    }

    /// Whether a proxy in front of us says that the client came by HTTPS. Who says so without one is only refused their
    /// own cookie by their own browser.
    var isBehindTLS: Bool {
        if let proto = head.headerFields[.forwardedProto] { return proto.lowercased().hasPrefix("https") }
        return head.headerFields[.forwarded]?.lowercased().contains("proto=https") ?? false
    }
}

extension HTTPField.Name {
    static let forwardedProto = HTTPField.Name("X-Forwarded-Proto")!
}
