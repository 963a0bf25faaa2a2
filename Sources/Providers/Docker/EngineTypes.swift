import Foundation

// What of the Docker Engine API is used (its reference, versions 1.41 and newer): names are those of the API, with a
// small first letter.

/// `GET /version`
struct EngineDescription: Decodable, Sendable {
    let version: String
    let apiVersion: String
    let minAPIVersion: String?
    let os: String?
}

/// `GET /info`
struct EngineInformation: Decodable, Sendable {
    let ID: String?
    let dockerRootDir: String?
    let NCPU: Int
    let driver: String?
    let driverStatus: [[String]]?
    let memoryLimit: Bool?
    let swapLimit: Bool?
    let pidsLimit: Bool?
    let cpuCfsQuota: Bool?
    let cgroupDriver: String?
    let cgroupVersion: String?
    let OSType: String?
    let securityOptions: [String]?

    /// Whether containers can be given filters of calls.
    var hasFilters: Bool { securityOptions?.contains { $0.contains("seccomp") } == true }

    /// Whether the storage driver may be able to hold a container's layer to a size. Overlays need quotas of projects for
    /// it, which nobody is told of before trying.
    var mayLimitLayers: Bool {
        switch driver {
        case "btrfs", "zfs", "devicemapper": true
        case "overlay2": driverStatus?.contains(["Backing Filesystem", "xfs"]) == true
        default: false
        }
    }
}

/// A line of a stream of progress.
struct EngineMessage: Decodable, Sendable {
    struct Detail: Decodable, Sendable { let message: String? }
    struct Auxiliary: Decodable, Sendable { let ID: String? }
    let stream: String?
    let status: String?
    let id: String?
    let progress: String?
    let error: String?
    let errorDetail: Detail?
    let aux: Auxiliary?
}

/// `GET /images/{reference}/json`
struct EngineImage: Decodable, Sendable {
    struct Config: Decodable, Sendable { let labels: [String: String]? }
    let id: String
    let config: Config?
}

/// `GET /images/json`
struct ImageSummary: Decodable, Sendable {
    let id: String
    let repoTags: [String]?
    let created: Double  // seconds since 1970
    let size: Int
    let labels: [String: String]?
}

/// `GET /volumes`
struct EngineVolumes: Decodable, Sendable { let volumes: [EngineVolume]? }

struct EngineVolume: Decodable, Sendable {
    let name: String
    let labels: [String: String]?
}

/// `GET /networks/{name}`
struct EngineNetwork: Decodable, Sendable { let labels: [String: String]? }

/// `GET /containers/json`
struct ContainerSummary: Decodable, Sendable {
    let id: String
    let names: [String]?
    let state: String
    let labels: [String: String]?
    let created: Double  // seconds since 1970
}

/// `GET /containers/{name}/json`
struct ContainerInspection: Decodable, Sendable {
    struct State: Decodable, Sendable {
        let status: String
        let error: String?
        let exitCode: Int?
        let OOMKilled: Bool?
    }
    struct Config: Decodable, Sendable {
        let image: String
        let hostname: String?
        let cmd: [String]?
        let labels: [String: String]?
        let exposedPorts: [String: ContainerRequest.Empty]?
        let stopTimeout: Int?
    }
    let id: String
    let created: String
    let restartCount: Int
    let state: State
    let config: Config
    let hostConfig: ContainerRequest.HostConfig
}

/// Names of the API begin with a capital.
enum EngineCoding {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// Keys in order, so that the same value is always the same bytes.
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .custom { path in
            let name = path.last?.stringValue ?? ""
            return Key(stringValue: name.prefix(1).uppercased() + name.dropFirst())
        }
        return Array(try encoder.encode(value))
    }

    static func decode<Value: Decodable>(_ bytes: [UInt8]) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in
            let name = path.last?.stringValue ?? ""
            let isAcronym = name.dropFirst().first?.isUppercase == true
            return Key(stringValue: isAcronym ? name : name.prefix(1).lowercased() + name.dropFirst())
        }
        return try decoder.decode(Value.self, from: Data(bytes))
    }
}
