import Foundation

/// What a worker does to an environment. `provision`, `start`, `stop` and `destroy` follow from a move into
/// `provisioning`, `starting`, `stopping` and `destroying`; `reconcile` is asked for.
package enum EnvironmentAction: String, CaseIterable, Sendable, Codable {
    case provision, start, stop, destroy, reconcile

    /// The action that a move into `state` calls for; `nil` where nothing follows.
    package init?(entering state: EnvironmentState) {
        switch state {
        case .provisioning: self = .provision
        case .starting: self = .start
        case .stopping: self = .stop
        case .destroying: self = .destroy
        case .requested, .running, .stopped, .destroyed, .error: return nil
        }
    }

    /// The name of its queue.
    package var queue: String {
        switch self {
        case .provision: "vm-provision"
        case .start, .stop, .destroy, .reconcile: "vm-control"
        }
    }
}

/// The data of a job on `vm-provision` or `vm-control`, as JSON
/// `{"environmentId", "userId", "generation", "requestId"}`.
///
/// `generation` is the environment's when the job was made: a handler that finds another one has nothing to do.
package struct EnvironmentJob: Sendable, Hashable, Codable {
    package let environmentID: EnvironmentID
    package let userID: UserID
    package let generation: Int
    package let requestID: String?

    enum CodingKeys: String, CodingKey {
        case environmentID = "environmentId"
        case userID = "userId"
        case generation
        case requestID = "requestId"
    }

    package init(environmentID: EnvironmentID, userID: UserID, generation: Int, requestID: String?) {
        self.environmentID = environmentID
        self.userID = userID
        self.generation = generation
        self.requestID = requestID
    }

    /// Throws `invalid_request` if the text is not such a job.
    package init(json: String) throws {
        do {
            self = try JSONDecoder().decode(EnvironmentJob.self, from: Data(json.utf8))
        } catch {
            throw ServiceError(
                .invalidRequest, "The data of the job is not that of an environment's job.",
                hint: "It needs environmentId, userId and generation; discard it.", cause: error)
        }
    }

    package var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }

    /// The same for everybody who asks for the same: a hundred callers make one job.
    package func id(for action: EnvironmentAction) -> String {
        "\(action.rawValue)-\(environmentID)-\(generation)"
    }
}
