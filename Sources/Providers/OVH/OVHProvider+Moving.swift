import EventLoop
import Foundation

// Starting, stopping and removing instances: each looks before it acts, acts once, and looks again until it is so.
extension OVHProvider {
    enum Goal { case running, stopped }

    /// Brings the instance there and returns it. An action that OVH refuses because something else is at work on the
    /// instance, or whose answer is lost, is taken up again by the next look.
    func move(_ id: String, named name: String, to goal: Goal) async throws -> OVHInstance {
        let elapsed = stopwatch(of: configuration.clock)
        var isAsked = false
        while true {
            guard let now = try await client.instance(id) else { throw vanished(name) }
            var action: OVHClient.Action?
            switch (now.meaning, goal) {
            case (.running, .running):
                if now.publicIPv4 != nil { return now }
            case (.stopped, .stopped), (.parked, .stopped): return now
            case (.running, .stopped): action = .stop
            case (.stopped, .running): action = .start
            case (.parked, .running): action = .unshelve
            case (.provisioning, _), (.unclear, _): break
            case (.broken, _):
                throw ProviderError(
                    .failed, "VM '\(name)' is '\(now.status)' at OVH.",
                    hint: "See it in OVH's control panel, or destroy the VM and make it anew.")
            case (.goingAway, _), (.gone, _): throw vanished(name)
            }
            if let action, !isAsked {
                do {
                    try await client.perform(action, on: id)
                    isAsked = true
                } catch let error as OVHError where error.kind == .conflict {
                    // Busy with something that will end.
                } catch let error as OVHError where error.mayHaveHadEffect {
                    // It may be under way; the state will tell.
                }
            } else if action == nil {
                isAsked = false
            }
            guard elapsed() + configuration.pollInterval <= configuration.patience else {
                throw ProviderError(
                    .startTimeout, "VM '\(name)' was still '\(now.status)' at OVH after \(configuration.patience).",
                    hint: "OVH may have trouble; it is tried again.", isRetryable: true)
            }
            try await configuration.clock.sleep(for: configuration.pollInterval)
        }
    }

    /// Waits until the SSH server greets: an instance is called active long before it has booted.
    func awaitGreeting(of endpoint: VMEndpoint, name: String) async throws {
        let elapsed = stopwatch(of: configuration.clock)
        let probe = BannerProbe()
        while true {
            do {
                let isGreeted = try await withDeadline(.seconds(5), "greeting of the VM's SSH server") {
                    try await probe.isGreeted(host: endpoint.host, port: endpoint.port)
                }
                if isGreeted { return }
            } catch is DeadlineExceeded {}  // nobody answers there yet
            guard elapsed() < configuration.patience else {
                throw ProviderError(
                    .startTimeout,
                    "VM '\(name)' is active at OVH, but no SSH server answers at \(endpoint.host) port "
                        + "\(endpoint.port).",
                    hint: "Look at the instance's console in OVH's control panel: did cloud-init run?",
                    isRetryable: true)
            }
            try await configuration.clock.sleep(for: min(.seconds(1), configuration.pollInterval))
        }
    }

    /// Removes every instance of the name, and its key, and waits until they are gone.
    func remove(_ name: String) async throws {
        let elapsed = stopwatch(of: configuration.clock)
        var last: [OVHInstance] = []
        repeat {
            if !last.isEmpty { try await configuration.clock.sleep(for: configuration.pollInterval) }
            last = try await all(named: name)
            for instance in last where instance.meaning != .goingAway {
                try await client.deleteInstance(instance.id)
            }
            guard elapsed() <= configuration.patience else {
                throw ProviderError(
                    .failed,
                    "VM '\(name)' not removed: after \(configuration.patience) OVH still lists instance "
                        + "\(last.map(\.id).joined(separator: ", ")).",
                    hint: "Remove it in OVH's control panel; it costs until then.", isRetryable: true)
            }
        } while !last.isEmpty
        for key in try await client.sshKeys() where key.name == name { try await client.deleteSSHKey(key.id) }
    }

    func noAddress(_ name: String) -> ProviderError {
        ProviderError(
            .failed, "VM '\(name)' has no public IPv4 address.", hint: "Look at its interfaces in OVH's control panel.")
    }

    private func vanished(_ name: String) -> ProviderError {
        ProviderError(
            .missing, "VM '\(name)' is gone at OVH.", hint: "Somebody has deleted it there: create it anew.")
    }
}
