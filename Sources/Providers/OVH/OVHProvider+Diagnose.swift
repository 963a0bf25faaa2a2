import EventLoop
import Foundation
package import Logging

extension OVHProvider {
    /// Why VMs cannot be made in the project, each with what to do; empty if nothing stands in the way. Changes nothing.
    package static func diagnose(configuration: OVHConfiguration, logger: Logger) async -> [String] {
        var configuration = configuration
        configuration.attempts = 2  // somebody waits for what is wrong
        let provider = OVHProvider(configuration: configuration, logger: logger)
        do {
            return try await withDeadline(.seconds(12), "answer of OVH") { try await provider.problems() }
        } catch let error as OVHError {
            return ["The project cannot be used: \(error). \(error.hint)"]
        } catch {
            return ["The project cannot be used: \(error)."]
        }
    }

    /// Credentials and project first, for without them nothing else can be asked.
    private func problems() async throws -> [String] {
        _ = try await client.projectName()
        let regions = try await client.regions()
        guard regions.contains(configuration.region) else {
            return [
                "The project has no region '\(configuration.region)'. Set OVH_REGION to one of: "
                    + regions.sorted().joined(separator: ", ") + "."
            ]
        }
        var problems: [String] = []
        let flavors = try await client.flavors(in: configuration.region)
        if !flavors.contains(where: {
            $0.isOffered(in: configuration.region, kinds: configuration.flavorKinds) && $0.isAvailable
        }) {
            problems.append(
                "Region \(configuration.region) has no flavour of \(configuration.flavorKinds.joined(separator: ", ")) "
                    + "to give. Set OVH_REGION to another.")
        }
        if !(try await client.images(in: configuration.region)).contains(where: { $0.name == configuration.image }) {
            problems.append(
                "Region \(configuration.region) has no image '\(configuration.image)'. Set OVH_REGION to another.")
        }
        let quota = try await client.quota(in: configuration.region).instance
        if let used = quota?.usedInstances, let most = quota?.maxInstances, most >= 0, used >= most {
            problems.append(
                "All \(most) instances that the project may have in \(configuration.region) are in use. Destroy some, "
                    + "or ask OVH for a larger quota.")
        }
        return problems
    }
}
