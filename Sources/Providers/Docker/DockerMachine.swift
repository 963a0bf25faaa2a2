import Foundation

/// The container of a VM as the engine described it a moment ago.
struct DockerMachine: Sendable {
    /// As the engine says it.
    enum Status: String, Sendable {
        case created, running, paused, restarting, removing, exited, dead
        case unknown
    }

    let name: String
    let status: Status
    let port: Int?  // of the engine's machine
    let digest: String?
    let restarts: Int  // by the engine, because its first process had ended
    let createdAt: Date?
    let inspection: ContainerInspection?  // nil: from a list

    /// `nil` if the container is no VM of ours.
    init?(_ inspection: ContainerInspection) {
        let labels = inspection.config.labels ?? [:]
        guard let name = Self.name(labels) else { return nil }
        self.name = name
        status = Status(rawValue: inspection.state.status) ?? .unknown
        // What it was made with: the bindings in force are there only while it runs.
        port = inspection.hostConfig.portBindings?[Blueprint.sshPort]?.first.flatMap { Int($0.hostPort) }
        digest = labels[Blueprint.Label.digest]
        restarts = inspection.restartCount
        createdAt = try? Date(
            inspection.created, strategy: .iso8601.year().month().day().time(includingFractionalSeconds: true))
        self.inspection = inspection
    }

    init?(_ summary: ContainerSummary) {
        let labels = summary.labels ?? [:]
        guard let name = Self.name(labels) else { return nil }
        self.name = name
        status = Status(rawValue: summary.state) ?? .unknown
        port = labels[Blueprint.Label.port].flatMap { Int($0) }
        digest = labels[Blueprint.Label.digest]
        restarts = 0
        createdAt = Date(timeIntervalSince1970: summary.created)
        inspection = nil
    }

    private static func name(_ labels: [String: String]) -> String? {
        guard labels[Blueprint.Label.managed] == "true", let name = labels[Blueprint.Label.name],
            VMSpec.isName(name)
        else { return nil }
        return name
    }

    var isAlive: Bool { status == .running || status == .paused || status == .restarting }

    func instance(_ status: VMStatus) -> VMInstance {
        VMInstance(id: VMInstance.ID(rawValue: name), name: name, state: status, createdAt: createdAt)
    }
}

extension ContainerRequest {
    /// What would make the inspected container again.
    init(_ inspection: ContainerInspection) {
        self.init(
            image: inspection.config.image, hostname: inspection.config.hostname ?? "",
            cmd: inspection.config.cmd ?? [], labels: inspection.config.labels ?? [:],
            exposedPorts: inspection.config.exposedPorts ?? [:], stopTimeout: inspection.config.stopTimeout ?? 3,
            hostConfig: inspection.hostConfig)
    }
}
