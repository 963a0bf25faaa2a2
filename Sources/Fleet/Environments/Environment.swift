package import Foundation

/// A user's machine as the domain sees it: one row, without its secrets.
@dynamicMemberLookup
package struct Environment: Sendable, Hashable {
    /// A user's own VM, which calls that name none run in; or one of the named environments beside it.
    package enum Kind: String, Sendable, Codable, CaseIterable {
        case userVM = "user_vm"
        case environment
    }

    /// Its row, held once however often it is handed on: it is 1 KB, and several are on the way of each run.
    private let row: Shared<Row>

    package subscript<Value>(dynamicMember field: KeyPath<Row, Value>) -> Value { row.value[keyPath: field] }

    init(_ row: Row) { self.row = Shared(row) }

    package struct Row: Sendable, Hashable {
        package let id: EnvironmentID
        package let userID: UserID
        package let kind: Kind
        package let slug: Slug
        package let name: String
        package let state: EnvironmentState
        /// Counts the moves: with ``state`` what a compare-and-set compares.
        package let generation: Int
        package let tier: Tier
        package let vcpus: Int
        package let memoryMb: Int
        package let diskMb: Int
        package let processes: Int
        /// Whether its runs may reach the internet (``NetworkPolicy/egress``): what tier and quota of its owner say.
        package let network: Bool
        package let provider: String
        package let providerInstanceID: String?
        /// What its provider makes it of and where, for those that offer a choice.
        package let flavor: String?
        package let region: String?
        /// The host it was placed on, for providers whose hosts are ours.
        package let hostID: HostID?
        /// Where it is reached, or was when it ran last.
        package let endpoint: EnvironmentEndpoint?
        /// What its owner's key looks like in `authorized_keys`.
        package let clientPublicKey: String?
        /// Why it is in `error`, or, where it runs, why its setup failed.
        package let errorMessage: String?
        /// Up to the last time it stopped; ``runningSince`` says what to add.
        package let accountedRuntimeMs: Int
        package let runningSince: Date?
        package let lastStartedAt: Date?
        package let lastStoppedAt: Date?
        package let lastActivityAt: Date?
        package let stateChangedAt: Date
        package let expiresAt: Date?
        package let createdAt: Date
        package let updatedAt: Date
        package let hasInitScript: Bool
        /// Sorted; the values are secret (``EnvironmentStore/variables(of:)``).
        package let variableNames: [String]
        /// Without what may be secret in it.
        package let repositoryURL: String?
        /// Grows with every change of the setup: what was read of it may be kept as long as this is the same.
        package let setupVersion: Int
        /// When the setup was last carried out, and well; `nil`: to be done after the next start, if there is any.
        package let initializedAt: Date?
    }

    /// Whether there is something to do in the machine once it runs (``EnvironmentSetup``).
    package var needsInitialization: Bool {
        row.value.initializedAt == nil && (row.value.hasInitScript || row.value.repositoryURL != nil)
    }

    package var startedAt: Date? { row.value.runningSince }

    package var networkPolicy: NetworkPolicy { row.value.network ? .egress : .isolated }

    /// What its VM is called at the provider: fixed, so that making it twice makes it once.
    package var vmName: String { "\(EnvironmentID.vmNamePrefix)\(row.value.id)" }

    /// How long it has run in all, the present run included.
    package func runtimeSeconds(at now: Date = .now) -> Int {
        let present = row.value.runningSince.map { max(0, now.timeIntervalSince($0)) } ?? 0
        return row.value.accountedRuntimeMs / 1_000 + Int(present)
    }

    /// The word a user VM shows for its state.
    package var status: UserVMStatus { UserVMStatus(row.value.state) }

    /// The job that a worker should be at, if a job is what moves it on.
    package var pendingJob: (action: EnvironmentAction, id: String)? {
        guard let action = EnvironmentAction(entering: row.value.state) else { return nil }
        let job = EnvironmentJob(
            environmentID: row.value.id, userID: row.value.userID, generation: row.value.generation, requestID: nil)
        return (action, job.id(for: action))
    }
}

/// A value in one place for all who have it.
private final class Shared<Value: Sendable & Hashable>: Sendable, Hashable {
    let value: Value

    init(_ value: Value) { self.value = value }

    static func == (one: Shared, other: Shared) -> Bool { one === other || one.value == other.value }
    func hash(into hasher: inout Hasher) { value.hash(into: &hasher) }
}

/// The SSH server of a running environment, and the runner's port on its own loopback.
package struct EnvironmentEndpoint: Sendable, Hashable {
    package let host: String  // numeric
    package let port: Int
    package let user: String
    package let runnerPort: Int

    package init(host: String, port: Int, user: String, runnerPort: Int) {
        self.host = host
        self.port = port
        self.user = user
        self.runnerPort = runnerPort
    }
}

/// All that is needed to run code in an environment. Holds secrets: its description leaves them out.
package struct EnvironmentConnection: Sendable, Hashable, CustomStringConvertible {
    package let host: String  // numeric
    package let port: Int
    package let user: String
    package let privateKey: String  // OpenSSH PEM
    package let hostKey: String  // the public key it must show: "ssh-ed25519 AAAA…"
    package let runnerPort: Int
    package let runnerSecret: String  // 64 hexadecimal digits

    package var description: String { "\(user)@\(host):\(port), runner at \(runnerPort)" }
}

/// What a move changes besides state and generation. `nil` leaves a column as it is; the error message goes with
/// every move that does not set it.
package struct EnvironmentChange: Sendable {
    package var providerInstanceID: String?
    package var endpoint: EnvironmentEndpoint?
    package var errorMessage: String?

    package init(
        providerInstanceID: String? = nil, endpoint: EnvironmentEndpoint? = nil, errorMessage: String? = nil
    ) {
        self.providerInstanceID = providerInstanceID
        self.endpoint = endpoint
        self.errorMessage = errorMessage
    }
}
