package import Foundation
import PostgreSQL

/// A VM that a provider has and that belongs to no environment of this database: another installation's at the same
/// provider, what is left of a database that was restored from an old copy, or somebody's own that bears our label.
package struct UnknownVM: Sendable, Hashable {
    package let provider: String
    /// What the provider calls it by.
    package let externalID: String
    package let name: String
    package let firstSeenAt: Date
    package let lastSeenAt: Date
}

extension UnknownVM {
    init(row: PostgresRow) throws {
        provider = try row.decode("provider")
        externalID = try row.decode("external_id")
        name = try row.decode("name")
        firstSeenAt = try row.decode("first_seen_at")
        lastSeenAt = try row.decode("last_seen_at")
    }
}

/// The data of the job that destroys an unknown VM, as JSON `{"provider", "externalId", "name", "requestId"}`.
package struct UnknownVMJob: Sendable, Hashable, Codable {
    /// What its job is called on `vm-control`.
    package static let name = "vm.destroyUnknown"

    package let provider: String
    package let externalID: String
    package let vmName: String
    package let requestID: String?

    enum CodingKeys: String, CodingKey {
        case provider
        case externalID = "externalId"
        case vmName = "name"
        case requestID = "requestId"
    }

    /// Throws `invalid_request` if the text is not such a job.
    package init(json: String) throws {
        do {
            self = try JSONDecoder().decode(UnknownVMJob.self, from: Data(json.utf8))
        } catch {
            throw ServiceError(
                .invalidRequest, "The data of the job is not that of an unknown VM's job.",
                hint: "It needs provider, externalId and name; discard it.", cause: error)
        }
    }

    init(_ vm: UnknownVM, requestID: String?) {
        provider = vm.provider
        externalID = vm.externalID
        vmName = vm.name
        self.requestID = requestID
    }

    var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}
