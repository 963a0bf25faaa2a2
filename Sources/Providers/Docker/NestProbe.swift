import Foundation

/// Whether this engine's containers can be given what their root needs to make a user namespace of his own, and in it the
/// namespaces of runs (sandbox/nest.c): found out by a container that does it, once for each image.
///
/// What may stand in the way is not to be asked for: the kernel's settings, security modules and theirs, an older
/// runner in the image. What a container needs for it is worth giving only if it helps.
actor NestProbe {
    private let engine: EngineClient
    private var known: [String: Task<Bool, any Error>] = [:]

    init(engine: EngineClient) { self.engine = engine }

    func works(in image: String, _ information: EngineInformation) async throws -> Bool {
        guard information.hasFilters else { return false }
        if let known = known[image] { return try await known.value }
        let probe = Task { [engine] in try await Self.tryOut(image, engine) }
        known[image] = probe
        do {
            return try await probe.value
        } catch {
            known[image] = nil
            throw error
        }
    }

    private static let label = "gh.gg/probe"

    private static func tryOut(_ image: String, _ engine: EngineClient) async throws -> Bool {
        // Of a process that ended before it could take its own away.
        for old in try await engine.containers(label: label)
        where Date(timeIntervalSince1970: old.created) < .now - 60 {
            try await engine.removeContainer(old.id)
        }
        let name = "martlet-probe-\(UUID().uuidString.prefix(8).lowercased())"
        try await engine.createContainer(
            name,
            ContainerRequest(
                image: image, hostname: "probe", cmd: [Guest.runner, "nest"], labels: [label: "true"],
                exposedPorts: [:], stopTimeout: 1,
                hostConfig: Blueprint.nested(
                    .init(
                        nanoCpus: 0, memory: 64 << 20, memorySwap: 64 << 20, pidsLimit: 32,
                        restartPolicy: .init(name: "no"), networkMode: "none", capDrop: ["ALL"],
                        capAdd: Blueprint.capabilitiesToNest, securityOpt: ["no-new-privileges:true"], init: true,
                        logConfig: .init(type: "json-file", config: ["max-size": "1m"])))))
        do {
            try await engine.startContainer(name, within: .seconds(60))
            let status = try await engine.waitForContainer(name)
            try await engine.removeContainer(name)
            return status == 0
        } catch {
            await Task { try? await engine.removeContainer(name) }.value  // although the caller may be cancelled
            throw error
        }
    }
}
