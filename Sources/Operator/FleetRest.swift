package import Fleet
package import Logging

/// Puts the VMs of a process's providers to sleep, for a machine whose owner stops Martlet.
package enum FleetRest {
    /// Stops every running VM through the workers, which must still be at work, and waits until none is left that runs
    /// or is on its way. Returns those that are after `limit`.
    package static func stopAll(
        of providers: [String], in fleet: Fleet, within limit: Duration, logger: Logger
    ) async throws -> [Fleet::Environment] {
        let awake: Set<EnvironmentState> = [.requested, .provisioning, .starting, .running, .stopping]
        let deadline = ContinuousClock.now + limit
        while true {
            let environments = try await fleet.environments.list(states: awake, limit: 500)
                .filter { providers.contains($0.provider) }
            guard !environments.isEmpty, ContinuousClock.now < deadline else { return environments }
            for environment in environments where environment.state == .running {
                do {
                    try await fleet.environments.requestStop(environment.id, actor: .system("up"))
                } catch let error as ServiceError where error.code == .illegalTransition {
                    continue  // it moved meanwhile; the next look tells where
                } catch let error as ServiceError {
                    logger.warning(
                        "VM not asked to stop", metadata: ["environment": "\(environment.id)", "error": "\(error)"])
                }
            }
            try await Task.sleep(for: .milliseconds(50))  // between two looks at the rows
        }
    }
}
