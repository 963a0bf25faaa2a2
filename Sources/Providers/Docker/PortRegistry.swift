import Foundation

/// Which VM has which port of the engine's machine.
///
/// A port is a VM's from before its container is made until it is destroyed, also while it is stopped, so no two ever
/// hold the same. Engines keep no such book: a published port is theirs only while its container runs. What engines do
/// keep, and make in one step, are volumes by their name. So `martlet-port-2222` is an empty volume whose label says whose
/// the port is; asking for it twice gives the second asker the first one's label. Any number of processes may choose at
/// once, and the book is where the VMs are.
struct PortRegistry: Sendable {
    let engine: EngineClient
    let address: String  // where ports are published
    let first: Int
    private let turns = Turns()

    static let last = 32_767  // above begin the ports that kernels hand out by themselves

    init(engine: EngineClient, address: String, first: Int) {
        self.engine = engine
        self.address = address
        self.first = first
    }

    /// The VM's port, the lowest free one if it has none yet.
    /// - Parameter unfit: ports that are in use by something that no book knows of.
    func reserve(for vm: String, unfit: Set<Int> = []) async throws -> Int {
        // One at a time in this process: side by side they would only race for the same number.
        try await turns.take("ports") {
            var taken = unfit
            for volume in try await engine.volumes(label: Blueprint.Label.port) {
                guard let labels = volume.labels, let port = labels[Blueprint.Label.port].flatMap(Int.init) else {
                    continue
                }
                if labels[Blueprint.Label.name] == vm, !unfit.contains(port) { return port }
                taken.insert(port)
            }
            // Unused volumes may have been pruned: the containers know as well.
            for container in try await engine.containers(label: Blueprint.Label.port) {
                if let port = container.labels?[Blueprint.Label.port].flatMap(Int.init),
                    container.labels?[Blueprint.Label.name] != vm
                {
                    taken.insert(port)
                }
            }
            for port in first...Self.last where !taken.contains(port) && isFree(port) {
                if try await claim(port, for: vm) { return port }
            }
            throw ProviderError(
                .unavailable, "No port from \(first) to \(Self.last) is free for the SSH server of '\(vm)'.",
                hint: "Destroy VMs that nobody needs.")
        }
    }

    /// Whether the port is the VM's now.
    func claim(_ port: Int, for vm: String) async throws -> Bool {
        let volume = try await engine.volume(
            Self.volume(port),
            labels: [
                Blueprint.Label.managed: "true", Blueprint.Label.name: vm, Blueprint.Label.port: String(port),
            ])
        return volume.labels?[Blueprint.Label.name] == vm
    }

    func release(_ port: Int) async throws { try await engine.removeVolume(Self.volume(port)) }

    private static func volume(_ port: Int) -> String { "martlet-port-\(port)" }

    /// Asked of this machine, which mostly is the engine's: spares attempts that would fail. What it cannot tell, the
    /// start of the container will.
    private func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0, var place = SocketAddress(host: address, port: port)?.value else { return true }
        defer { close(descriptor) }
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        return withSocketAddress(&place) { bind(descriptor, $0, $1) } == 0 || errno != EADDRINUSE
    }
}
