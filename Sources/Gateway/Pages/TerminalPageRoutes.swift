import Fleet
import HTTPTypes

/// `/terminal`: shells in the visitor's machines.
struct TerminalPageRoutes: Sendable {
    let shell: PageShell
    let operations: GatewayOperations

    private struct Page: Encodable {
        let environments: [EnvironmentView]
        let isThere: Bool
    }

    var routes: [Route] {
        [
            .page(.get, "/terminal") { exchange, caller, _ in
                let missing = [BrowserLibrary.xterm, .xtermModules].filter { !shell.files.libraries.contains($0) }
                let page = Page(
                    environments: try await operations.environments.list(caller, 200, nil), isThere: missing.isEmpty)
                try await shell.show(
                    exchange, "terminal", title: "Terminal", section: .terminal, caller: caller,
                    scripts: ["terminal.js"], styles: ["xterm.css", "terminal.css"],
                    context: [
                        "isThere": page.isThere, "missing": missing.map(\.rawValue).joined(separator: " "),
                        "bodyClass": "terminal-page",
                    ], data: page)
            }
        ]
    }
}
