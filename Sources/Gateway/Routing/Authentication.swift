import Fleet
import HTTPTypes

/// Bearer tokens (RFC 6750) and, where they are admitted, the sessions of browsers.
///
/// A browser sends its cookie whoever made it send the request. So with a cookie nothing is done, and nothing of the API
/// read, unless the browser says that a page of this server asks: by `Origin` (Fetch Standard, 3.2), which pages cannot
/// forge, or `Sec-Fetch-Site`. `SameSite=Strict` says so as well, but takes other ports of this host for this server.
struct Authentication: Sendable {
    let authenticate: @Sendable (String) async throws -> Caller?
    /// `nil`: there are no sessions.
    var session: (@Sendable (String) async throws -> Caller?)?

    /// What besides a token proves who calls.
    enum Admission {
        case tokens
        /// Sessions as well, for what pages of this server ask.
        case sessions
        /// Sessions as well, for a page itself: a link may come from anywhere.
        case visitors
    }

    static let cookie = "martlet_session"

    /// Who the request's token or session belongs to. Throws ``Refused``, and `cross_site`.
    func caller(of head: HTTPRequest, admitting admission: Admission = .tokens) async throws -> Caller {
        guard let header = head.headerFields[.authorization] else {
            if let session, admission != .tokens, let value = head.cookie(Self.cookie) {
                return try await caller(ofSession: value, head, admission, session)
            }
            throw Refused(
                challenge: "Bearer realm=\"martlet\"",
                error: ServiceError(
                    .unauthenticated, "The request has no token.",
                    hint: "Send 'Authorization: Bearer mlt_…'; make a token with 'martlet token create'."))
        }
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else {
            throw Refused(
                challenge: "Bearer realm=\"martlet\", error=\"invalid_request\"",
                error: ServiceError(
                    .unauthenticated, "The Authorization header is not of the form 'Bearer TOKEN'.",
                    hint: "Send 'Authorization: Bearer mlt_…'."))
        }
        guard let caller = try await authenticate(String(parts[1])) else {
            throw Refused(
                challenge: "Bearer realm=\"martlet\", error=\"invalid_token\"",
                error: ServiceError(
                    .unauthenticated, "The token is unknown, revoked or expired.",
                    hint: "Make a new one with 'martlet token create', or ask an admin."))
        }
        return caller
    }

    private func caller(
        ofSession value: String, _ head: HTTPRequest, _ admission: Admission,
        _ session: (String) async throws -> Caller?
    ) async throws -> Caller {
        try head.checkSite(isPage: admission == .visitors)
        guard let caller = try await session(value) else {
            throw Refused(
                challenge: "Bearer realm=\"martlet\"",
                error: ServiceError(.unauthenticated, "Your session has ended.", hint: "Sign in again at /login."))
        }
        return caller
    }

    struct Refused: Error {
        let challenge: String
        let error: ServiceError
    }
}

extension HTTPRequest {
    /// The value of a cookie (RFC 6265, 5.4).
    func cookie(_ name: String) -> String? {
        for pair in headerFields[.cookie]?.split(separator: ";") ?? [] {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0].drop(while: { $0 == " " }) == name else { continue }
            return String(parts[1])
        }
        return nil
    }

    /// Whether it changes something, or opens what does.
    private var isUnsafe: Bool {
        switch method {
        case .get, .head, .options: headerFields[.upgrade] != nil
        default: true
        }
    }

    /// Throws `cross_site` unless a page of this server asks, as the browser says. A page itself, or an answer of the API
    /// that is merely read, also goes to whoever says nothing: a browser's address bar, a program.
    func checkSite(isPage: Bool) throws(ServiceError) {
        let site = headerFields[.secFetchSite]
        let isOwn: Bool
        if let origin = headerFields[.origin] {
            isOwn = Self.origin(origin, isOf: authority ?? "")
        } else if isUnsafe {
            isOwn = site == "same-origin"
        } else {
            isOwn = isPage || site == nil || site == "same-origin" || site == "none"
        }
        guard isOwn else {
            throw ServiceError(
                .crossSite, "Another site's page sent this in your name.",
                hint: "Open the page at this server's own address; programs send a token and no cookie.")
        }
    }

    /// `https://example.org` is the origin of pages at `example.org` and `example.org:443`.
    private static func origin(_ origin: String, isOf host: String) -> Bool {
        for (scheme, port) in [("http://", ":80"), ("https://", ":443")] where origin.hasPrefix(scheme) {
            let own = host.hasSuffix(port) ? String(host.dropLast(port.count)) : host
            return !own.isEmpty && origin.dropFirst(scheme.count).lowercased() == own.lowercased()
        }
        return false
    }
}

extension HTTPField.Name {
    static let secFetchSite = HTTPField.Name("Sec-Fetch-Site")!
}
