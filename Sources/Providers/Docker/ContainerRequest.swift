/// `POST /containers/create`: what of it a VM uses. Also read back, from an inspection, to make a VM's container again.
struct ContainerRequest: Codable, Hashable, Sendable {
    struct Empty: Codable, Hashable, Sendable {}

    struct PortBinding: Codable, Hashable, Sendable {
        var hostIp: String
        var hostPort: String
    }

    struct RestartPolicy: Codable, Hashable, Sendable {
        var name: String
    }

    struct LogConfig: Codable, Hashable, Sendable {
        var type: String
        var config: [String: String]
    }

    struct Mount: Codable, Hashable, Sendable {
        var type: String
        var source: String
        var target: String
    }

    struct HostConfig: Codable, Hashable, Sendable {
        var nanoCpus: Int
        var memory: Int
        var memorySwap: Int
        var pidsLimit: Int?
        var portBindings: [String: [PortBinding]]?
        var restartPolicy: RestartPolicy
        var networkMode: String
        var dns: [String]?
        var dnsOptions: [String]?
        var capDrop: [String]?
        var capAdd: [String]?
        var securityOpt: [String]?
        var maskedPaths: [String]?
        var readonlyPaths: [String]?
        var `init`: Bool?
        var logConfig: LogConfig
        var oomScoreAdj: Int?
        var storageOpt: [String: String]?
        var mounts: [Mount]?
        var tmpfs: [String: String]?
    }

    var image: String
    var hostname: String
    var cmd: [String]
    var labels: [String: String]
    var exposedPorts: [String: Empty]
    var stopTimeout: Int
    var hostConfig: HostConfig
}

/// `POST /containers/{id}/update`
struct ContainerUpdate: Codable, Hashable, Sendable {
    var nanoCpus: Int
    var memory: Int
    var memorySwap: Int
    var pidsLimit: Int?
}
