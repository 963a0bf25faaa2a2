import CLibPQ
import Dispatch
import EventLoop
import Foundation

/// Where to connect, read from a libpq URI or conninfo string, with this room's session defaults added.
///
/// libpq resolves host names inside `PQconnectStart`, and that blocks. So names are resolved here, off the loop, and
/// handed over as `hostaddr`, which libpq prefers.
struct ConnectionTarget: Sendable {
    /// For messages: host, port and database, never the password.
    let description: String
    private let options: [String: String]
    private let hosts: [String]

    init(url: String, statementTimeout: Duration) throws(PostgresError) {
        var options = try Self.parse(url)
        let defaults = Self.defaults()
        let host = options["hostaddr"] ?? options["host"] ?? defaults["host"] ?? "the default socket"
        let database = options["dbname"] ?? defaults["dbname"] ?? options["user"] ?? "default"
        let port = options["port"] ?? defaults["port"] ?? "5432"
        description = "\(host), port \(port), database '\(database)'"
        if options["hostaddr"] == nil, let host = options["host"] ?? defaults["host"] {
            options["host"] = host
            hosts = host.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        } else {
            hosts = []
        }
        let milliseconds = statementTimeout.components.seconds * 1_000
        // Given first, so that `options` of the URL can override them.
        let session = "-c statement_timeout=\(milliseconds) -c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=iso_8601"
        options["options"] = [session, options["options"] ?? defaults["options"]].compactMap(\.self)
            .joined(separator: " ")
        options["client_encoding"] = "UTF8"
        let preset = [
            "fallback_application_name": "martlet",
            "gssencmode": "disable",  // else every TCP connect first looks for Kerberos tickets, which blocks
            "keepalives_idle": "15", "keepalives_interval": "5", "keepalives_count": "3",
            "tcp_user_timeout": "30000",
        ]
        self.options = options.merging(preset) { given, _ in given }
    }

    /// The connection parameters with every host name resolved. At most as long as the resolver takes; ends early on
    /// cancellation.
    func resolved() async throws -> [String: String] {
        guard hosts.contains(where: Self.isName) else { return options }
        var addresses: [String] = []
        for host in hosts {
            // A socket directory among names has no address: empty, and libpq takes `host` there.
            addresses.append(Self.isName(host) ? try await Self.address(of: host) : Self.isSocket(host) ? "" : host)
        }
        return options.merging(["hostaddr": addresses.joined(separator: ",")]) { _, new in new }
    }

    private static func isSocket(_ host: String) -> Bool {
        host.isEmpty || host.hasPrefix("/") || host.hasPrefix("@")
    }

    private static func isName(_ host: String) -> Bool {
        var address = in6_addr()
        return !isSocket(host) && inet_pton(AF_INET, host, &address) != 1 && inet_pton(AF_INET6, host, &address) != 1
    }

    private static func address(of host: String) async throws -> String {
        let resolution = Waiter<String>()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                resolution.hold(continuation)
                BlockingCalls.queue.async { resolution.resume(with: Result { try lookUp(host) }) }
            }
        } onCancel: {
            resolution.resume(with: .failure(CancellationError()))
        }
    }

    private static func lookUp(_ host: String) throws -> String {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0, let first = list else {
            throw PostgresError(.connectFailed, "PostgreSQL host '\(host)': \(String(cString: gai_strerror(code))).")
        }
        defer { freeaddrinfo(first) }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let named = getnameinfo(
            first.pointee.ai_addr, first.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        guard named == 0 else {
            throw PostgresError(.connectFailed, "PostgreSQL host '\(host)': \(String(cString: gai_strerror(named))).")
        }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private static func parse(_ url: String) throws(PostgresError) -> [String: String] {
        var text: UnsafeMutablePointer<CChar>?
        guard let list = PQconninfoParse(url, &text) else {
            // libpq's text quotes the part it stumbled over, which may be the password.
            PQfreemem(text)
            throw PostgresError(
                .connectFailed, "The PostgreSQL URL cannot be read.",
                hint: "Write postgresql://user:password@host:port/database, special characters percent-encoded.")
        }
        defer { PQconninfoFree(list) }
        return values(list)
    }

    /// What PGHOST, PGDATABASE and the like say.
    private static func defaults() -> [String: String] {
        guard let list = PQconndefaults() else { return [:] }
        defer { PQconninfoFree(list) }
        return values(list)
    }

    private static func values(_ list: UnsafeMutablePointer<PQconninfoOption>) -> [String: String] {
        var values: [String: String] = [:]
        var option = list
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        return values
    }
}

/// Where the two calls go that have no non-blocking form: `getaddrinfo` and `PQcancel`. Dispatch bounds its threads.
enum BlockingCalls {
    static let queue = DispatchQueue(label: "martlet.postgresql.blocking", attributes: .concurrent)
}
