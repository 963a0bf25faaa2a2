import Fleet
import HTTPTypes
import NIOCore
import Telemetry

/// Who may read `/metrics`. An admin's token always may.
package enum MetricsAccess: String, Sendable, CaseIterable {
    case loopback  // also whoever calls from this machine, unless a proxy says it calls for somebody else
    case admin
    case anyone
}

/// `/metrics`: the process' figures for Prometheus.
struct MetricsRoutes: Sendable {
    let registry: MetricRegistry
    let access: MetricsAccess
    let authentication: Authentication?  // nil: this process knows no tokens

    static let description = RouteDescription(
        id: "getMetrics", group: .server, summary: "Figures of this process for Prometheus",
        detail: """
            For callers on the server's own machine, unless a proxy forwards them, and for admins' tokens; \
            `MARTLET_METRICS` says otherwise.
            """,
        answers: [
            .init(
                status: .ok, summary: "Text format 0.0.4.",
                contents: [.init(type: "text/plain", schema: ["type": "string"])])
        ], errors: [.unauthenticated, .forbidden])

    var routes: [Route] {
        [
            .open(.get, "/metrics", Self.description) { exchange in
                try await check(exchange)
                try await exchange.respond(
                    .ok, headers: [.contentType: MetricRegistry.contentType, .cacheControl: "no-store"],
                    body: ByteBuffer(string: await registry.exposition()))
            }
        ]
    }

    private func check(_ exchange: Exchange) async throws {
        switch access {
        case .anyone: return
        case .loopback where exchange.isFromThisMachine: return
        case .loopback, .admin: break
        }
        guard let authentication else { throw Self.refusal }
        guard try await authentication.caller(of: exchange.head).isAdmin else { throw Self.refusal }
    }

    private static let refusal = ServiceError(
        .forbidden, "The metrics are not for this caller.",
        hint: "Scrape from the server's own machine, use an admin's token, or set MARTLET_METRICS=anyone.")
}

extension Exchange {
    /// Whether the client is a program on this machine that calls for itself.
    var isFromThisMachine: Bool {
        let forwarded: [HTTPField.Name] = [.forwarded, .via, .forwardedFor]
        guard forwarded.allSatisfy({ head.headerFields[$0] == nil }) else { return false }
        guard let address = remoteAddress else { return false }
        guard let text = address.ipAddress else { return true }  // a unix socket
        return text.hasPrefix("127.") || text == "::1" || text.hasPrefix("::ffff:127.")
    }
}

extension HTTPField.Name {
    static let forwarded = HTTPField.Name("Forwarded")!
    static let forwardedFor = HTTPField.Name("X-Forwarded-For")!
}
