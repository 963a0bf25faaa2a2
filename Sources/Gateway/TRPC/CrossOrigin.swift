import HTTPTypes

/// Which pages of other origins may read answers in a browser (Fetch Standard, "CORS protocol"). None unless listed:
/// a token is wanted in any case, but a page that nobody listed does not get to try them.
struct CrossOrigin: Sendable {
    let allowed: Set<String>

    /// For the answer to a request: what may be read where, and what the answer depends on.
    func headers(for head: HTTPRequest) -> HTTPFields {
        var headers: HTTPFields = [.vary: allowed.isEmpty ? "trpc-accept, accept" : "origin, trpc-accept, accept"]
        if let origin = head.headerFields[.origin], allowed.contains(origin) {
            headers[.accessControlAllowOrigin] = origin
            headers[.accessControlAllowCredentials] = "true"
        }
        return headers
    }

    /// For the answer to a browser that asks first. Carries no token and needs none.
    func preflight(_ head: HTTPRequest) -> HTTPFields {
        var headers = headers(for: head)
        headers[.allow] = "GET, POST, HEAD, OPTIONS"
        guard headers[.accessControlAllowOrigin] != nil else { return headers }
        headers[.accessControlAllowMethods] = "GET, POST, OPTIONS"
        headers[.accessControlAllowHeaders] =
            "content-type, authorization, trpc-accept, x-trpc-source, last-event-id, x-request-id"
        headers[.accessControlMaxAge] = "600"
        return headers
    }
}
