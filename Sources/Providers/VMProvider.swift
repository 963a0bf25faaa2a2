package import Foundation

/// Makes and runs virtual machines of one kind. It knows neither database nor queue: whoever calls keeps the truth,
/// and compares it with ``list()``.
///
/// Every operation may be cut off at any point, by cancellation or by the death of the process, and repeated: a
/// repetition carries on from what it finds. Operations on one VM are serialised by the provider, operations on
/// different ones run side by side. All throw ``ProviderError`` or `CancellationError`, and all end in bounded time.
package protocol VMProvider: Sendable {
    var kind: ProviderKind { get }

    /// Makes the VM, not running; once it exists, a repetition with the same name brings it in line with the spec as
    /// far as that goes without touching its home (keys, limits; a larger disk), and succeeds.
    func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance

    /// Starts the VM and waits until its SSH server answers. Starting a running VM succeeds.
    func start(_ id: VMInstance.ID) async throws -> VMEndpoint

    /// The same, and says whether runs in it may be given a way to the internet from this start on: a VM that runs already
    /// stays as it is. Asked only where ``ProviderKind/givesEgress``.
    func start(_ id: VMInstance.ID, network: Bool, log: ProvisionLog) async throws -> VMEndpoint

    /// Stops the VM and keeps its home. Stopping a stopped VM succeeds.
    func stop(_ id: VMInstance.ID) async throws

    /// Removes the VM and its home. Destroying a missing VM succeeds.
    func destroy(_ id: VMInstance.ID) async throws

    /// A VM that is not there is ``VMStatus/missing``, not an error.
    func status(_ id: VMInstance.ID) async throws -> VMStatus

    /// The VMs this provider manages, for reconciling.
    func list() async throws -> [VMInstance]

    /// Where a running VM is reached; `nil` if it does not run.
    func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint?

    /// The newest lines of what the VM's own programs (init, SSH server, runner) wrote, oldest first.
    func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String]
}

package enum ProviderKind: String, Codable, CaseIterable, Sendable {
    case local, docker, ovh, firecracker

    /// Whether runs in its VMs can be given a way to the internet that leads nowhere else.
    package var givesEgress: Bool {
        switch self {
        case .local: true
        case .docker, .ovh, .firecracker: false
        }
    }

    /// Whether its VMs are made with the runner in them. Else whoever connects first installs it.
    package var bringsRunner: Bool {
        switch self {
        case .local, .docker, .firecracker: true
        case .ovh: false
        }
    }
}

extension VMProvider {
    package func start(_ id: VMInstance.ID, network: Bool, log: ProvisionLog) async throws -> VMEndpoint {
        try await start(id)
    }
}

package enum VMStatus: String, Codable, CaseIterable, Sendable {
    case provisioning, running, stopped, missing, error
}

/// A VM as its provider sees it.
package struct VMInstance: Hashable, Codable, Sendable {
    package struct ID: RawRepresentable, Hashable, Codable, Sendable, CustomStringConvertible {
        package let rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }
        package var description: String { rawValue }
    }

    package let id: ID
    package let name: String
    package let state: VMStatus
    package let createdAt: Date?

    package init(id: ID, name: String, state: VMStatus, createdAt: Date? = nil) {
        self.id = id
        self.name = name
        self.state = state
        self.createdAt = createdAt
    }
}

/// How a running VM is reached: an SSH server, and behind it, on the VM's own loopback, the runner.
package struct VMEndpoint: Hashable, Codable, Sendable {
    package let host: String
    package let port: Int
    package let user: String
    package let runnerPort: Int

    package init(host: String, port: Int, user: String = "martlet", runnerPort: Int) {
        self.host = host
        self.port = port
        self.user = user
        self.runnerPort = runnerPort
    }
}

/// Where a provider tells a person what it is doing.
package struct ProvisionLog: Sendable {
    package enum Level: String, Codable, Sendable {
        case info, warning, error
    }

    package let write: @Sendable (_ level: Level, _ message: String) async -> Void

    package init(_ write: @escaping @Sendable (_ level: Level, _ message: String) async -> Void) {
        self.write = write
    }

    package static let none = ProvisionLog { _, _ in }
}
