import Execution
import Fleet
import HTTPTypes

/// `/` and `/runs/{run}`: code to try, and what came of it.
struct PlaygroundRoutes: Sendable {
    let shell: PageShell
    let operations: GatewayOperations

    var routes: [Route] {
        [
            .page(.get, "/") { exchange, caller, _ in try await playground(exchange, caller) },
            .page(.get, "/runs/{run}") { exchange, caller, parameters in
                try await run(exchange, caller, parameters["run"] ?? "")
            },
        ]
    }

    private struct Playground: Encodable {
        let runtimes: [RuntimeDescription]
        let environments: [EnvironmentView]
        let executions: [ExecutionView]
        let run: ExecutionView?
        let isHighlighted: Bool
    }

    private func playground(_ exchange: Exchange, _ caller: Caller) async throws {
        // What no VM was asked about yet may be there.
        async let runtimes = operations.runtimes(caller).filter { $0.available ?? true }
        async let environments = operations.environments.list(caller, 200, nil)
        async let executions = operations.executions(caller, 30, nil)
        var run: ExecutionView?
        if let id = exchange.target["run"].flatMap({ ExecutionID($0) }) {
            run = try await operations.execution(id, caller)
            run?.stdout = nil
            run?.stderr = nil
        }
        let page = Playground(
            runtimes: try await runtimes, environments: try await environments, executions: try await executions,
            run: run, isHighlighted: shell.files.libraries.contains(.codeMirror))
        try await shell.show(
            exchange, "playground", title: "Playground", section: .playground, caller: caller,
            scripts: ["playground.js"], styles: ["playground.css"],
            context: [
                "isHighlighted": page.isHighlighted,
                "runtimes": page.runtimes.map { runtime in
                    var shown: PageShell.Context = ["name": runtime.name, "title": runtime.title]
                    shown["version"] = runtime.version
                    return shown
                },
                "runs": page.executions.map { run in
                    let title = page.runtimes.first { $0.name == run.language }?.title
                    return [
                        "id": run.id.description, "language": title ?? run.language, "tone": run.tone,
                        "outcome": run.outcome,
                    ] as PageShell.Context
                },
            ], data: page)
    }

    private struct Run: Encodable {
        let run: ExecutionView
        let isHighlighted: Bool
    }

    private func run(_ exchange: Exchange, _ caller: Caller, _ name: String) async throws {
        guard let id = ExecutionID(name), let run = try await operations.execution(id, caller) else {
            throw ServiceError(
                .executionNotFound, "You have no run of this name.",
                hint: "It may be another's, or older than what is kept. Yours are listed in the playground.")
        }
        let title = try await operations.runtimes(caller).first { $0.name == run.language }?.title
        try await shell.show(
            exchange, "run", title: "Run", section: .playground, caller: caller, scripts: ["run.js"],
            styles: ["playground.css"],
            context: [
                "id": run.id.description, "language": title ?? run.language, "tone": run.tone, "outcome": run.outcome,
            ], data: Run(run: run, isHighlighted: shell.files.libraries.contains(.codeMirror)))
    }
}

extension ExecutionView {
    fileprivate var outcome: String {
        if let errorCode { return errorCode }
        if let signal { return signal }
        if let exitCode { return "exit \(exitCode)" }
        return state
    }

    fileprivate var tone: String {
        switch exitCode {
        case 0: "good"
        case nil where state == "running": "warn moving"
        default: "bad"
        }
    }
}
