import Foundation
import Logging

// From a spec to an instance that can be reached, once, however often it is asked for.
extension OVHProvider {
    private static let orderAttempts = 3
    /// How often an instance whose order got no answer is looked for before a second is ordered.
    private static let looksAfterNoAnswer = 3

    /// The VM's instance as it is, or made now.
    func made(_ spec: VMSpec, _ log: ProvisionLog) async throws -> OVHInstance {
        if let found = try await claim(spec.name) {
            switch found.meaning {
            case .running where found.publicIPv4 != nil: return found
            case .stopped, .parked: return found
            case .running, .provisioning, .unclear:
                await log.write(.info, "Instance \(found.id) is there already, on its way")
                return try await removingOnFailure(spec.name, known: found.id) {
                    try await self.awaitUsable(found.id, spec.name, log)
                }
            case .broken, .goingAway, .gone:
                await log.write(.warning, "Removing instance \(found.id), which is '\(found.status)'")
                try await remove(spec.name)
            }
        }
        return try await make(spec, log)
    }

    private func make(_ spec: VMSpec, _ log: ProvisionLog) async throws -> OVHInstance {
        let region = spec.region ?? configuration.region
        let flavor = try await flavors(in: region).choice(for: spec, in: region, kinds: configuration.flavorKinds)
        let image = try await image(for: flavor, in: region)
        try await checkQuota(in: region, for: flavor)
        let userData = try CloudInit(for: spec, packages: packages).userData
        return try await removingOnFailure(spec.name, known: nil) {
            let key = try await self.ensureKey(spec, region)
            await log.write(
                .info, "Ordering a \(flavor.name) in \(region): \(flavor.vcpus) vCPU, \(flavor.ramGB ?? 0) GB memory")
            let ordered = try await self.order(
                OVHInstanceOrder(
                    name: spec.name, region: region, flavorId: flavor.id, imageId: image.id, sshKeyId: key.id,
                    userData: userData), log)
            let usable = try await self.awaitUsable(ordered.id, spec.name, log)
            // The instance has the key by now; a project holds a hundred of them.
            try await self.client.deleteSSHKey(key.id)
            return usable
        }
    }

    /// Removes what there is of the name when `body` fails, though not when it is cut off: a repetition finds it.
    private func removingOnFailure(
        _ name: String, known: String?, _ body: () async throws -> OVHInstance
    ) async throws -> OVHInstance {
        do {
            return try await body()
        } catch let error as CancellationError {
            throw error
        } catch {
            await Task { [logger] in  // also when the caller is cancelled meanwhile
                do {
                    if let known { try await self.client.deleteInstance(known) }
                    try await self.remove(name)
                } catch {
                    logger.error(
                        "half-made instance not removed: the next attempt, or a destroy, will find it by its name",
                        metadata: ["vm": "\(name)", "error": "\(error)"])
                }
            }.value
            throw error
        }
    }

    // MARK: Ordering

    /// Sends the order, at most a few times, and never again without having looked for an instance of the name: an
    /// order whose answer was lost may have been carried out.
    private func order(_ order: OVHInstanceOrder, _ log: ProvisionLog) async throws -> OVHInstance {
        var failures = 0
        while true {
            do {
                let ordered = try await client.createInstance(order)
                // Another worker may have ordered at the same moment: both keep the same one.
                return try await claim(order.name) ?? ordered
            } catch let error as OVHError where error.isTransient {
                failures += 1
                guard let pause = client.pause(after: error, failures: failures) else { throw error }
                await log.write(.warning, "OVH did not take the order (\(error.message)); looking what became of it")
                let looks = error.mayHaveHadEffect ? Self.looksAfterNoAnswer : 1
                for look in 1...looks {
                    try await configuration.clock.sleep(for: look == 1 ? pause : configuration.pollInterval)
                    if let found = try await claim(order.name) { return found }
                }
                guard failures < Self.orderAttempts else { throw error }
            }
        }
    }

    /// The instance of this name, the rest of them removed: of two, at most one is anybody's.
    private func claim(_ name: String) async throws -> OVHInstance? {
        let found = try await all(named: name)
        for surplus in found.dropFirst() where surplus.meaning != .goingAway {
            logger.warning(
                "two instances of one name, removing the younger", metadata: ["vm": "\(name)", "id": "\(surplus.id)"])
            try await client.deleteInstance(surplus.id)
        }
        return found.first
    }

    // MARK: What it is made of

    func flavors(in region: String) async throws -> [OVHFlavor] {
        try await flavorCache.value(for: region) { [client] in
            let flavors = try await client.flavors(in: region)
            guard !flavors.isEmpty else {
                throw ProviderError.invalidSpec(
                    "region \(region) offers no flavours to this project",
                    hint: "Families such as GRA have numbered regions (GRA11) that do: set OVH_REGION to one.")
            }
            return flavors
        }
    }

    private func image(for flavor: OVHFlavor, in region: String) async throws -> OVHImage {
        let images = try await imageCache.value(for: region) { [client] in try await client.images(in: region) }
        let image = images.first {
            $0.name == configuration.image && ($0.status ?? "active") == "active"
                && ($0.flavorType == nil || $0.flavorType == flavor.type)
        }
        guard let image else {
            throw ProviderError.invalidSpec(
                "region \(region) has no image '\(configuration.image)' for flavour \(flavor.name)",
                hint: "Choose another region (OVH_REGION).")
        }
        return image
    }

    /// Says what is short before anything is ordered; OVH's own refusal names no figures.
    private func checkQuota(in region: String, for flavor: OVHFlavor) async throws {
        guard let quota = try await client.quota(in: region).instance else { return }
        func check(_ what: String, _ used: Int?, _ most: Int?, _ more: Int) throws {
            guard let used, let most, most >= 0, used + more > most else { return }
            throw ProviderError(
                .unavailable, "Not made: the project may have \(most) \(what) in \(region), and \(used) are in use.",
                hint: "Destroy VMs, or ask OVH for a larger quota.")
        }
        try check("instances", quota.usedInstances, quota.maxInstances, 1)
        try check("vCPUs", quota.usedCores, quota.maxCores, flavor.vcpus)
    }

    /// The key that OVH wants with an order, named as the VM. It is in the user data too, which is what counts.
    private func ensureKey(_ spec: VMSpec, _ region: String) async throws -> OVHSSHKey {
        guard let publicKey = spec.authorizedKeys.first else {
            throw ProviderError.invalidSpec("'\(spec.name)' has no key to log in with", hint: "Give it one.")
        }
        func known() async throws -> OVHSSHKey? {
            let keys = try await client.sshKeys().filter { $0.name == spec.name }
            for stale in keys where !isSame(stale.publicKey, publicKey) { try await client.deleteSSHKey(stale.id) }
            return keys.first { isSame($0.publicKey, publicKey) && ($0.regions?.contains(region) ?? true) }
        }
        if let key = try await known() { return key }
        do {
            return try await client.createSSHKey(name: spec.name, publicKey: publicKey, region: region)
        } catch let error as OVHError where error.isTransient {
            // The answer may be all that was lost.
            if let key = try await known() { return key }
            return try await client.createSSHKey(name: spec.name, publicKey: publicKey, region: region)
        }
    }

    /// Kind and key; comments do not count.
    private func isSame(_ left: String, _ right: String) -> Bool {
        left.split(separator: " ").prefix(2) == right.split(separator: " ").prefix(2)
    }

    // MARK: Waiting for it

    /// Waits until the instance is active and has a public IPv4 address. Where another worker has kept an instance of
    /// its own and removes this one, that one is waited for: to give up would be to remove it too.
    private func awaitUsable(_ first: String, _ name: String, _ log: ProvisionLog) async throws -> OVHInstance {
        let elapsed = stopwatch(of: configuration.clock)
        let unseen = "not to be seen"
        var id = first
        var last = unseen
        while true {
            let now = try await client.instance(id)
            // One that was just ordered may not be known everywhere yet.
            let status = now?.status ?? (last == unseen ? unseen : "gone")
            switch now?.meaning ?? (last == unseen ? .provisioning : .gone) {
            case .running:
                if let now, let address = now.publicIPv4 {
                    await log.write(.info, "Instance \(id) is active at \(address)")
                    return now
                }
            case .goingAway, .gone:
                guard let kept = try await claim(name), kept.id != id, [.running, .provisioning].contains(kept.meaning)
                else { throw Self.madeInVain(id, name, status) }
                await log.write(.info, "Instance \(id) gives way to \(kept.id), which another worker has made")
                (id, last) = (kept.id, unseen)
                continue
            case .broken: throw Self.madeInVain(id, name, status)
            case .provisioning, .stopped, .parked, .unclear: break
            }
            let told = now?.meaning == .running ? "\(status) without a public IPv4 address" : status
            if told != last { await log.write(.info, "Instance \(id) is \(told)") }
            last = told
            guard elapsed() + configuration.pollInterval <= configuration.patience else {
                throw ProviderError(
                    .startTimeout,
                    "VM '\(name)' not made: after \(configuration.patience) instance \(id) was still \(last).",
                    hint: "It was given up and removed; OVH or its region may have trouble.", isRetryable: true)
            }
            try await configuration.clock.sleep(for: configuration.pollInterval)
        }
    }

    private static func madeInVain(_ id: String, _ name: String, _ status: String) -> ProviderError {
        ProviderError(
            .failed, "VM '\(name)' not made: OVH made instance \(id) in vain, it is '\(status)'.",
            hint: "Often the region is short of machines: it is tried again.", isRetryable: true)
    }
}
