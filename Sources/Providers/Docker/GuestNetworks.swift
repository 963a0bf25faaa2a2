import Cryptography

/// The two networks that VMs are in. On neither do VMs see each other.
///
/// `martlet-egress` leads out, by address translation. `martlet-isolated` does not: nothing is translated, and the runner
/// takes the VM's default route away before anything else runs, so that a program is told at once that the network is
/// unreachable. Both let in what is published, and nothing else.
struct GuestNetworks: Sendable {
    enum Kind: String, Sendable {
        case isolated = "martlet-isolated"
        case egress = "martlet-egress"
    }

    let engine: EngineClient
    private let turns = Turns()

    init(engine: EngineClient) { self.engine = engine }

    /// Makes it if it is not there. Engines take several networks of one name, but not several with one bridge device:
    /// its name, made of the engine's identity and the network's name, lets exactly one of those who try succeed.
    func ensure(_ kind: Kind) async throws {
        try await turns.take(kind.rawValue) {
            if try await isThere(kind) { return }
            let information = try await engine.information()
            // Engines up to 20.10 on one machine share an identity; not the place of their state.
            let identity = "\(information.ID ?? "") \(information.dockerRootDir ?? "")"
            let bridge = "mlt-" + SHA256.hex("\(identity) \(kind.rawValue)").prefix(8)
            do {
                try await engine.createNetwork(
                    kind.rawValue,
                    options: [
                        "com.docker.network.bridge.name": String(bridge),
                        "com.docker.network.bridge.enable_icc": "false",
                        "com.docker.network.bridge.enable_ip_masquerade": String(kind == .egress),
                    ], labels: [Blueprint.Label.managed: "true"])
            } catch let failure as EngineFailure {
                guard try await comes(kind, after: failure) else {
                    throw failure.asProviderError("Network '\(kind.rawValue)' not made")
                }
            }
        }
    }

    /// Whether it is there all the same. Engines know a bridge before they show its network: one that somebody else is
    /// making is waited for.
    private func comes(_ kind: Kind, after failure: EngineFailure) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(failure.says("same bridge name") ? 10 : 0)
        while try await !isThere(kind) {
            guard ContinuousClock.now < end else { return false }
            try await Task.sleep(for: .milliseconds(20))  // the engine has no call to wait for a network
        }
        return true
    }

    private func isThere(_ kind: Kind) async throws -> Bool {
        guard let found = try await engine.network(kind.rawValue) else { return false }
        guard found.labels?[Blueprint.Label.managed] == "true" else {
            throw ProviderError(
                .unavailable, "The engine has a network '\(kind.rawValue)' that is not Martlet's.",
                hint: "Remove it: docker network rm \(kind.rawValue)")
        }
        return true
    }
}
