import EventLoop
import Foundation

/// What became of an attack.
package struct AttackVerdict: Encodable, Sendable {
    package let event = "attack"
    package let name: String
    package let group: String
    package let mode: Attack.Mode
    package let provider: String
    package let expected: String
    package let seen: String
    /// Why the wall fell; empty if it stood.
    package var faults: [String]
    package var milliseconds: Int

    package var stood: Bool { faults.isEmpty }
}

/// Looks at the machine that VMs run on, where it is this one.
package protocol AttackWitness: Sendable {
    /// What is there now, before an attack.
    func look() async
    /// What is there now that was not, or is gone; waits a moment for what is about to end.
    func differences() async -> [String]
}

/// Makes attacks through the HTTP API in one environment, one after the other, and after each a run that has nothing to
/// do with it, which has to be right and soon.
package struct AttackDriver: Sendable {
    let client: APIClient
    let environment: String
    let provider: String
    let isWatched: Bool  // runs there have no namespaces and groups of their own
    let witness: (any AttackWitness)?

    private static let patience = Duration.seconds(90)
    private static let nextRunMs = 2_000

    package init(
        client: APIClient, environment: String, provider: String, isWatched: Bool, witness: (any AttackWitness)?
    ) {
        self.client = client
        self.environment = environment
        self.provider = provider
        self.isWatched = isWatched
        self.witness = witness
    }

    /// Has the machine make ahead what it makes ahead.
    package func warmUp() async throws {
        for _ in 0..<3 {
            let run = try await execute(Self.plain(language: "python", code: "print(6 * 7)"))
            guard run.outputText == "42\n" else {
                throw ClientError(
                    .failed, code: "environment_unusable", message: "A plain program does not run there: \(run.text)",
                    hint: "Look with 'martlet doctor'.")
            }
        }
    }

    package func make(_ attack: Attack, _ mode: Attack.Mode) async throws -> AttackVerdict {
        let clock = ContinuousClock()
        let began = clock.now
        await witness?.look()
        var faults: [String] = []
        var seen: [String] = []
        let steps = attack.steps(at: provider, watched: isWatched, mode)
        if steps.isEmpty {
            return AttackVerdict(
                name: attack.name, group: attack.group, mode: mode, provider: provider, expected: "nothing",
                seen: attack.exception(at: provider, watched: isWatched) ?? "left out", faults: [], milliseconds: 0)
        }
        for (index, step) in steps.enumerated() {
            let run = try await execute(step.request, attack)
            seen.append(run.text)
            let mark = steps.count > 1 ? "run \(index + 1): " : ""
            faults += step.expectation.faults(in: run).map { mark + $0 }
        }
        faults += try await nextRunFaults(mode)
        try await sweepHome()
        faults += await witness?.differences() ?? []
        let expected = steps.map(\.expectation.text)
        return AttackVerdict(
            name: attack.name, group: attack.group, mode: mode, provider: provider, expected: Self.summary(expected),
            seen: Self.summary(seen), faults: faults, milliseconds: Int((clock.now - began) / .milliseconds(1)))
    }

    private static func summary(_ texts: [String]) -> String {
        var distinct: [String] = []
        for text in texts where distinct.last != text { distinct.append(text) }
        return distinct.prefix(3).joined(separator: ", then ") + (distinct.count > 3 ? ", …" : "")
    }

    // MARK: After an attack

    /// One slow run may be the machine's, which others load too; what an attack has left is there for the second.
    private func nextRunFaults(_ mode: Attack.Mode) async throws -> [String] {
        var request = Self.plain(language: "python", code: "import sys\nprint(sys.stdin.read().upper(), 6 * 7)")
        request["stdin"] = .string("next")
        if mode == .cold { request["env"] = .object(["LC_ALL": .string("C.UTF-8")]) }
        var slow: [AttackRun] = []
        while slow.count < 2 {
            let run = try await execute(request)
            guard run.outputText == "NEXT 42\n", run.exit?.exitCode == 0 else { return ["the next run: \(run.text)"] }
            if run.milliseconds <= Self.nextRunMs { return [] }
            slow.append(run)
        }
        return ["the next runs took \(slow.map(\.times).joined(separator: ", then "))"]
    }

    /// A home stays, with what an attack has left in it.
    private func sweepHome() async throws {
        let code = #"cd && chmod -R u+rwx . 2>/dev/null; find . -mindepth 1 -delete"#
        _ = try await execute(Self.plain(language: "bash", code: code))
    }

    private static func plain(language: String, code: String) -> [String: JSONValue] {
        ["language": .string(language), "code": .string(code), "stdin": .string(""), "timeoutMs": .integer(60_000)]
    }

    // MARK: One run

    private func execute(_ request: [String: JSONValue], _ attack: Attack? = nil) async throws -> AttackRun {
        var request = request
        if request["environment"] == nil { request["environment"] = .string(environment) }
        let body = JSONValue.object(request)
        let clock = ContinuousClock()
        let began = clock.now
        var run = AttackRun()
        do {
            run = try await withDeadline(Self.patience, "the end of the attack") { [client] in
                try await Self.follow(body, attack, client)
            }
        } catch let error as DeadlineExceeded {
            run.failure = "\(error)"
        } catch let error as ClientError where error.kind != .unreachable {
            run.refusal = error.code
        }
        run.milliseconds = Int((clock.now - began) / .milliseconds(1))
        return run
    }

    private static func follow(_ body: JSONValue, _ attack: Attack?, _ client: APIClient) async throws -> AttackRun {
        try await withThrowingTaskGroup(of: AttackRun?.self) { group in
            let (begun, announce) = AsyncStream<String>.makeStream(bufferingPolicy: .bufferingNewest(1))
            group.addTask {
                var run = AttackRun()
                try await client.lines("POST", "/v1/execute", accept: "application/x-ndjson", json: body) { line in
                    switch try RunEvent(line: line) {
                    case .started(let execution): announce.yield(execution)
                    case .output(let toError, let bytes): run.take(bytes, toError: toError)
                    case .exit(let exit): run.exit = exit
                    case .error(let code, _, _): run.refusal = code
                    case .status, .keepalive, .unknown: break
                    }
                    run.left = attack?.leaveAfter.map { run.outputBytes >= $0 } ?? false
                    return !run.left
                }
                return run
            }
            if let input = attack?.input {
                group.addTask {
                    for await execution in begun { try await feed(input, to: execution, client) }
                    return nil
                }
            }
            defer { group.cancelAll() }
            while let result = try await group.next() { if let result { return result } }
            return AttackRun()
        }
    }

    private static func feed(_ input: AttackInput, to execution: String, _ client: APIClient) async throws {
        let path = "/v1/executions/\(execution)/stdin"
        let bytes = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
        do {
            for _ in 0..<input.megabytes { try await client.post(path, bytes: bytes) }
            if input.ends { try await client.post("\(path)?end=1", bytes: []) }
        } catch is ClientError {
            return  // the run has ended, which its own events tell
        }
    }
}

/// What was seen of one run.
struct AttackRun: Sendable {
    static let kept = 4 << 20  // bytes of each stream

    var exit: RunExit?
    var refusal: String?
    var failure: String?
    var left = false
    var output: [UInt8] = []
    var errors: [UInt8] = []
    var outputBytes = 0
    var milliseconds = 0

    var outputText: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: errors, as: UTF8.self) }

    mutating func take(_ bytes: [UInt8], toError: Bool) {
        if toError {
            errors += bytes.prefix(Self.kept - errors.count)
        } else {
            outputBytes += bytes.count
            output += bytes.prefix(Self.kept - output.count)
        }
    }

    /// Where the time went: to the program, or to what is around it.
    var times: String {
        guard let exit else { return "\(milliseconds) ms" }
        let processor = exit.cpuMs.map { ", \(Int($0)) ms of a processor" } ?? ""
        return "\(milliseconds) ms, \(Int(exit.durationMs)) ms of them from its start to its end\(processor)"
    }

    /// In words, for a table.
    var text: String {
        if let failure { return failure }
        if left { return "left" }
        if let refusal { return "refused: \(refusal)" }
        guard let exit else { return "the stream was cut" }
        return [exit.reason, exit.exitCode.map { "\($0)" }, exit.signal].compactMap { $0 }.joined(separator: " ")
    }
}
