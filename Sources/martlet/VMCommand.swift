import ArgumentParser
import Client
import Foundation

struct VMCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vm", abstract: "See and control your VM.",
        subcommands: [Status.self, Start.self, Stop.self, Destroy.self, Logs.self], defaultSubcommand: Status.self)

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show your VM and its state.")
        @OptionGroup var server: ClientOptions
        @Flag(help: "Print the server's JSON.") var json = false

        func run() async throws {
            let answer = try await server.client().call("GET", "/v1/vm")
            if json { return try await printJSON(answer) }
            guard let vm = try answer.decoded(as: APIClient.VMAnswer.self).vm else {
                return try await printLine("You have no VM yet: the first run makes it, or 'martlet vm start'.")
            }
            try await printLine(describe(vm))
        }
    }

    struct Start: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start your VM, making it if there is none, and wait until it runs.")
        @OptionGroup var server: ClientOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            let client = try server.client()
            try await waiting.wait(for: ["running"], client) { try await client.call("POST", "/v1/vm/start") }
        }
    }

    struct Stop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop your VM; its home stays.")
        @OptionGroup var server: ClientOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            let client = try server.client()
            try await waiting.wait(for: ["stopped"], client) { try await client.call("POST", "/v1/vm/stop") }
        }
    }

    struct Destroy: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove your VM and everything in its home.")
        @OptionGroup var server: ClientOptions
        @OptionGroup var waiting: Waiting
        @Flag(name: .shortAndLong, help: "Do not ask.") var yes = false

        func run() async throws {
            let client = try server.client()
            guard let vm = try await client.vm() else { return try await printLine("You have no VM.") }
            if !yes {
                guard StandardInput.isTerminal else {
                    throw ValidationError("This removes the VM and all files in it: confirm with --yes.")
                }
                let question = "This removes the VM \(vm.slug ?? vm.id) and all files in it. Type 'yes' to go on: "
                try await StandardOutput().write(Array(question.utf8), to: .output)
                guard readLine() == "yes" else { throw ExitCode(1) }
            }
            try await waiting.wait(for: ["destroyed"], client) { try await client.call("DELETE", "/v1/vm") }
        }
    }

    struct Logs: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what was done to make and start your VM, of the last hour.")
        @OptionGroup var server: ClientOptions
        @Flag(name: .shortAndLong, help: "Go on as more is written, until Ctrl-C.") var follow = false
        @Flag(help: "Print the server's JSON.") var json = false

        func run() async throws {
            let client = try server.client()
            guard follow else {
                let answer = try await client.call("GET", "/v1/vm/logs")
                if json { return try await printJSON(answer) }
                for line in try answer.decoded(as: APIClient.LogAnswer.self).logs { try await printLine(format(line)) }
                return
            }
            try await withInterrupts { interrupts in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await client.followLog { line in
                            try await printLine(format(line))
                            return true
                        }
                    }
                    group.addTask { for await _ in interrupts { return } }
                    try await group.next()
                    group.cancelAll()
                }
            }
        }
    }
}

/// What start, stop and destroy have in common.
struct Waiting: ParsableArguments {
    @Flag(help: "Return as soon as the server has taken the request.") var noWait = false

    /// Makes the request, and shows what the VM's log says from then on until the VM is in one of `states`.
    func wait(
        for states: Set<String>, _ client: APIClient, after request: () async throws -> APIClient.Answer
    ) async throws {
        let old = noWait ? [] : Set(try await client.vmLog())
        _ = try await request()
        guard !noWait else { return }
        let vm = try await client.waitForVM(in: states) { line in
            if old.contains(line) { return }
            FileHandle.standardError.write(Data("\(format(line))\n".utf8))
        }
        try await printLine(vm.map(describe) ?? "destroyed")
    }
}

@Sendable private func format(_ line: VMLogLine) -> String {
    let mark = line.level == "info" ? "" : "\(line.level): "
    return "\(line.timestamp)  \(mark)\(line.message)"
}

private func describe(_ vm: VMDescription) -> String {
    let rows: [(String, String?)] = [
        ("vm", vm.slug ?? vm.id), ("state", vm.state ?? vm.status), ("error", vm.errorMessage), ("tier", vm.tier),
        ("size", vm.vcpus.map { "\($0) vCPU, \(vm.memoryMb ?? 0) MB memory, \(vm.diskMb ?? 0) MB disk" }),
        ("provider", vm.provider), ("created", vm.createdAt), ("started", vm.startedAt), ("used", vm.lastActivityAt),
    ]
    return rows.compactMap { name, value in
        value.map { name.padding(toLength: 10, withPad: " ", startingAt: 0) + $0 }
    }.joined(separator: "\n")
}
