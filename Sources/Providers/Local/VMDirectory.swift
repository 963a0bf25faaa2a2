import Foundation

/// Where everything about one VM lies, and what of it is kept from one start to the next. 0700, root's.
struct VMDirectory: Sendable {
    /// What `create` was given. The VM exists once this is on disk.
    struct Record: Codable, Sendable {
        var spec: VMSpec
        let createdAt: Date
    }

    /// User and group ids of a VM: `count` of them from `base`, root being the first.
    struct IDRange: Sendable {
        static let count: UInt32 = 65_536
        /// A stretch that neither distributions, subuid files nor systemd hand out (systemd: "Users, Groups, UIDs and
        /// GIDs"), and what fits into it.
        static let first: UInt32 = 0x7000_0000
        static let ranges: UInt32 = 4094

        let base: uid_t
        var user: uid_t { base + Guest.userID }
    }

    let state: String
    let name: String

    var path: String { "\(state)/\(name)" }
    var record: String { "\(path)/spec.json" }
    var ids: String { "\(path)/ids" }
    var port: String { "\(path)/port" }
    var homeImage: String { "\(path)/home.img" }
    var homeDirectory: String { "\(path)/home" }
    var rootfs: String { "\(path)/rootfs" }
    var bundle: String { "\(path)/bundle" }
    var bundleDigest: String { "\(path)/bundle.digest" }
    var processIdentifier: String { "\(path)/init.pid" }
    var log: String { "\(path)/log" }
    var emptyInput: String { "\(path)/empty" }
    var runtimeState: String { "\(state)/.crun" }

    func loadRecord() -> Record? {
        Files.bytes(of: record).flatMap { try? JSONDecoder().decode(Record.self, from: Data($0)) }
    }

    func save(_ new: Record) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try Files.write(encoder.encode(new), to: record, mode: 0o600)
    }

    func loadIDs() -> IDRange? {
        Files.text(of: ids).flatMap { UInt32($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
            .map { IDRange(base: $0) }
    }

    func loadPort() -> Int? {
        Files.text(of: port).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
    }
}
