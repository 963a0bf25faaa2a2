import Foundation

/// Where a server is and how to log in there.
struct RedisEndpoint: Sendable, CustomStringConvertible {
    enum Address: Hashable, Sendable {
        case unix(path: String)
        case tcp(host: String, port: Int)
    }

    let address: Address
    let user: String?
    let password: String?
    let database: Int

    /// `redis://[[user]:password@]host[:port][/database]` or `unix://[[user]:password@]/path[?db=database]`.
    init(url: String) throws(RedisError) {
        guard let parts = URLComponents(string: url), let scheme = parts.scheme?.lowercased() else {
            throw RedisError(.invalidURL, "Redis address is not a URL. Write redis://host:port or unix:///path.")
        }
        user = parts.user.flatMap { $0.isEmpty ? nil : $0 }
        password = parts.password.flatMap { $0.isEmpty ? nil : $0 }
        let databaseText: String?
        switch scheme {
        case "unix", "redis+unix", "unix+redis":
            let isLocal = (parts.host ?? "").isEmpty
            guard isLocal, parts.path.hasPrefix("/"), parts.path.utf8.count < 108 else {  // sun_path
                throw RedisError(.invalidURL, "Path of the Redis socket must be absolute and shorter than 108 bytes.")
            }
            address = .unix(path: parts.path)
            databaseText = parts.queryItems?.first { $0.name == "db" }?.value
        case "redis":
            let host = (parts.host ?? "").trimmingCharacters(in: ["[", "]"])
            let port = parts.port ?? 6379
            guard (1...65_535).contains(port) else { throw RedisError(.invalidURL, "Redis port \(port) is not one.") }
            address = .tcp(host: host.isEmpty ? "127.0.0.1" : host, port: port)
            let path = parts.path.dropFirst()
            databaseText = path.isEmpty ? nil : String(path)
        case "rediss":
            throw RedisError(.invalidURL, "Redis over TLS is not supported. Put a TLS tunnel in front of it.")
        default:
            throw RedisError(.invalidURL, "Redis URL has scheme '\(scheme)'. Write redis://host:port or unix:///path.")
        }
        guard let database = Int(databaseText ?? "0"), database >= 0 else {
            throw RedisError(.invalidURL, "Redis database '\(databaseText ?? "")' is not a number.")
        }
        self.database = database
    }

    /// Without the password.
    var description: String {
        let suffix = database == 0 ? "" : " database \(database)"
        return switch address {
        case .unix(let path): "Redis at \(path)\(suffix)"
        case .tcp(let host, let port): "Redis at \(host):\(port)\(suffix)"
        }
    }
}
