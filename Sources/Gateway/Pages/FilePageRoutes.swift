import Fleet
import HTTPTypes

/// `/files`: what is in the programs' home. Which directory is shown is the script's affair (`?path`, `?environment`).
struct FilePageRoutes: Sendable {
    let shell: PageShell
    let operations: GatewayOperations

    private struct Page: Encodable {
        let environments: [EnvironmentView]
        /// Whose uploads a browser remembers.
        let user: String
    }

    var routes: [Route] {
        [
            .page(.get, "/files") { exchange, caller, _ in
                let environments = try await operations.environments.list(caller, 200, nil)
                try await shell.show(
                    exchange, "files", title: "Files", section: .files, caller: caller, scripts: ["files.js"],
                    styles: ["files.css"],
                    data: Page(environments: environments, user: caller.userID.description))
            }
        ]
    }
}
