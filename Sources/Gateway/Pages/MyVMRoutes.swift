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
                async let environments = operations.environments.list(caller, 200, nil)
                async let quota = operations.environments.quota(caller)
                let hasFlavors = configuration.provider == "ovh"
                try await shell.show(
                    exchange, "my-vm", title: "My VM", section: .vm, caller: caller, scripts: ["my-vm.js", "ssh.js"],
                    styles: ["my-vm.css"],
                    data: Page(
                        environments: try await environments, quota: try await quota, provider: configuration.provider,
                        hasFlavors: hasFlavors, hasChoice: hasFlavors || configuration.providers.count > 1))
            }
        ]
    }
}
