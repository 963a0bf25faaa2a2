import Fleet
import HTTPTypes

/// `/my-vm`: the visitor's machine and those beside it.
struct MyVMRoutes: Sendable {
    let shell: PageShell
    let operations: GatewayOperations
    let configuration: GatewayConfiguration

    private struct Page: Encodable {
        let environments: [EnvironmentView]
        let quota: QuotaView
        /// What makes the visitor's VM.
        let provider: String
        /// Whether that has sizes of its own, and whether there is anything to choose for another environment.
        let hasFlavors: Bool
        let hasChoice: Bool
    }

    var routes: [Route] {
        [
            .page(.get, "/my-vm") { exchange, caller, _ in
                async let list = operations.environments.list(caller, 200, nil)
                async let quota = operations.environments.quota(caller)
                let environments = try await list
                var context: PageShell.Context = [
                    "environments": environments.filter { $0.kind != Environment.Kind.userVM.rawValue }.map(\.shown)
                ]
                if let vm = environments.first(where: { $0.kind == Environment.Kind.userVM.rawValue }) {
                    context["vm"] = vm.shown
                }
                let hasFlavors = configuration.provider == "ovh"
                try await shell.show(
                    exchange, "my-vm", title: "My VM", section: .vm, caller: caller, scripts: ["my-vm.js", "ssh.js"],
                    styles: ["my-vm.css"], context: context,
                    data: Page(
                        environments: environments, quota: try await quota, provider: configuration.provider,
                        hasFlavors: hasFlavors, hasChoice: hasFlavors || configuration.providers.count > 1))
            }
        ]
    }
}

extension EnvironmentView {
    /// What a template says of it before the page's script tells more.
    fileprivate var shown: PageShell.Context {
        [
            "name": name, "slug": "\(slug)", "word": state.word, "tone": state.tone, "tier": tier.rawValue,
            "vcpus": vcpus, "memoryMb": memoryMb, "diskMb": diskMb, "provider": provider,
        ]
    }
}

extension EnvironmentState {
    /// What a state is called on pages; `states.js` has the same words.
    var word: String {
        switch self {
        case .requested: "asked for"
        case .provisioning: "being made"
        case .starting: "waking"
        case .running: "running"
        case .stopping: "going to sleep"
        case .stopped: "asleep"
        case .destroying: "being destroyed"
        case .destroyed: "destroyed"
        case .error: "failed"
        }
    }

    /// How it looks.
    var tone: String {
        switch self {
        case .requested, .provisioning, .starting, .stopping, .destroying: "warn moving"
        case .running: "good"
        case .stopped, .destroyed: ""
        case .error: "bad"
        }
    }
}
