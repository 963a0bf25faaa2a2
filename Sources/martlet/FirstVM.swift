import EventLoop
import Fleet
import Foundation
import Operator

/// Makes the owner's VM in the background of a first start, so that the first call is a warm one.
enum FirstVM {
    /// Does nothing if there is a VM. A failure is shown and left: the first call tries again and says why not.
    static func make(for account: Account, _ wiring: Wiring, _ console: Console) async {
        do {
            let fleet = wiring.fleet
            guard try await fleet.environments.userVM(of: account.admin.user.id) == nil,
                let caller = try await fleet.authenticator.authenticate(account.admin.token)
            else { return }
            console.begin("VM")
            let environment = try await fleet.environments.createUserVM(
                for: caller, requestID: "up", provider: wiring.settings.provider)
            let state = try await withDeadline(.seconds(360), "VM \(environment.slug)") {
                try await settle(environment.id, of: caller.userID, fleet, console)
            }
            switch state {
            case .running, .stopped: console.finish(.done, "\(environment.slug) is ready")
            default: console.finish(.failed, "see 'martlet vm logs' and 'martlet doctor'")
            }
        } catch is CancellationError {
            return
        } catch {
            console.finish(.failed, "\(error)")
        }
    }

    /// Waits until nothing is at work on the VM, showing what its log says.
    private static func settle(
        _ id: EnvironmentID, of user: UserID, _ fleet: Fleet, _ console: Console
    ) async throws -> EnvironmentState {
        try await withThrowingTaskGroup(of: EnvironmentState?.self) { group in
            group.addTask {
                try await fleet.provisionLog.withFollowing(user) { log in
                    for try await line in log { console.detail(line.message) }
                }
                return nil
            }
            group.addTask {
                try await fleet.signals.withSubscription(to: id) { signals in
                    var iterator = signals.makeAsyncIterator()
                    while true {
                        guard let now = try await fleet.environments.find(id) else { return .destroyed }
                        if !now.state.isTransitional { return now.state }
                        guard try await iterator.next() != nil else { return now.state }
                    }
                }
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let state = result { return state }
            }
            throw CancellationError()
        }
    }
}
