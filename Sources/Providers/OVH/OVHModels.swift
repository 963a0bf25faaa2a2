import Foundation

// What of OVH's JSON is used. Unknown fields are ignored, and what may be null or missing is optional here.

struct OVHFlavor: Decodable, Sendable {
    struct PlanCodes: Decodable, Sendable { var hourly: String? }

    var id: String
    var name: String
    var region: String?
    var ram: Double?  // gigabytes; megabytes in some answers and 0 in others: see ramGB
    var disk: Int?  // gigabytes
    var vcpus: Int
    var type: String?
    var osType: String?
    var available: Bool?
    var quota: Int?  // how many more may be started
    var planCodes: PlanCodes?
}

struct OVHImage: Decodable, Sendable {
    var id: String
    var name: String
    var status: String?
    var visibility: String?
    var flavorType: String?  // not null: fits flavours of that type only
    var minDisk: Int?
}

struct OVHSSHKey: Decodable, Sendable {
    var id: String
    var name: String
    var publicKey: String
    var regions: [String]?
}

struct OVHQuota: Decodable, Sendable {
    struct Instance: Decodable, Sendable {
        var maxInstances: Int?
        var usedInstances: Int?
        var maxCores: Int?
        var usedCores: Int?
    }

    var instance: Instance?
}

struct OVHInstance: Decodable, Sendable {
    struct Address: Decodable, Sendable {
        var ip: String
        var type: String?
        var version: Int?
    }

    var id: String
    var name: String
    var status: String
    var region: String?
    var created: String?  // ISO 8601
    var ipAddresses: [Address]?

    /// The first public one of version 4, by which it is reached.
    var publicIPv4: String? {
        ipAddresses?.first { $0.type == "public" && ($0.version ?? 4) == 4 && !$0.ip.contains(":") }?.ip
    }

    /// What its status means to us. Values that are not known may be OVH's news: they are waited out.
    enum Meaning: Sendable {
        case provisioning, running, stopped, parked, goingAway, gone, broken, unclear
    }

    var meaning: Meaning {
        switch status {
        case "BUILD", "BUILDING", "UNSHELVING", "REBUILD", "RESUMING": .provisioning
        case "ACTIVE", "PASSWORD", "SNAPSHOTTING", "MIGRATING", "REBOOT", "HARD_REBOOT": .running
        case "SHUTOFF", "STOPPED", "SUSPENDED", "PAUSED": .stopped
        case "SHELVED", "SHELVED_OFFLOADED": .parked
        case "DELETING": .goingAway
        case "DELETED", "SOFT_DELETED": .gone
        case "ERROR": .broken
        default: .unclear
        }
    }

    var vmStatus: VMStatus {
        switch meaning {
        case .provisioning, .unclear: .provisioning
        case .running: .running
        case .stopped, .parked: .stopped
        case .goingAway, .gone: .missing
        case .broken: .error
        }
    }

    var vm: VMInstance {
        VMInstance(
            id: VMInstance.ID(rawValue: id), name: name, state: vmStatus,
            createdAt: created.flatMap { try? Date($0, strategy: .iso8601) })
    }
}

/// The body of `POST /instance`. Always by the hour: a month cannot be taken back.
struct OVHInstanceOrder: Encodable, Sendable {
    let name: String
    let region: String
    let flavorId: String
    let imageId: String
    let sshKeyId: String
    let userData: String
    let monthlyBilling = false
}
