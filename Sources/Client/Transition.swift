import EventLoop
import Foundation

/// Something on its way to another state: where it is looked at, and where what is done to it is told.
package struct Transition: Sendable {
    /// `GET` answers how it stands.
    let path: String
    /// The field of that answer which holds it.
    let field: String
    /// Its provision log, live with `follow=1`, if it has one.
    package let logPath: String?
    /// What to do where it failed.
    let advice: String

    package init(path: String, field: String, logPath: String?, advice: String) {
        self.path = path
        self.field = field
        self.logPath = logPath
        self.advice = advice
    }
}

/// One line of a provision log.
package struct ProvisionLogLine: Codable, Hashable, Sendable {
    package let timestamp: String
    package let level: String
    package let message: String

    package func json() throws -> String { String(decoding: try JSONEncoder().encode(self), as: UTF8.self) }

    /// As people read it.
    package func text(_ style: TextStyle) -> String {
        let tone: Tone = level == "error" ? .bad : level == "success" ? .good : .plain
        let mark = level == "info" || level == "success" ? "" : "\(level): "
        let text = TerminalText.visible("\(mark)\(message)", keepsLines: true)
        return "\(style.dressed(TerminalText.visible(timestamp), .quiet))  \(style.dressed(text, tone))"
    }
}

extension APIClient {
    private struct LogAnswer: Decodable { let logs: [ProvisionLogLine] }

    /// A provision log as it stands, oldest line first.
    package func provisionLog(_ path: String) async throws -> [ProvisionLogLine] {
        try await call("GET", path).decoded(as: LogAnswer.self).logs
    }

    /// Calls `line` for each line of a provision log, those that are there and then each as it is written, until it
    /// returns false or the task is cancelled.
    package func followProvisionLog(_ path: String, _ line: (ProvisionLogLine) async throws -> Bool) async throws {
        try await lines("GET", Self.path(path, [("follow", "1")]), accept: "text/event-stream") { bytes in
            guard bytes.starts(with: "data:".utf8) else { return true }
            guard let entry = try? JSONDecoder().decode(ProvisionLogLine.self, from: Data(bytes.dropFirst(5))) else {
                return true  // an event of another kind
            }
            return try await line(entry)
        }
    }

    /// Waits until `isDone`, telling `log` meanwhile what is written to the log, save the lines that are `known`. Returns
    /// the thing, `nil` if it is not there any more. Throws `vm_failed` if it ends in state `error`, `wait_timeout` if it
    /// takes longer than `limit`.
    package func wait(
        for transition: Transition, within limit: Duration = .seconds(600), known: Set<ProvisionLogLine> = [],
        until isDone: @escaping @Sendable (JSONValue?) -> Bool,
        log: @escaping @Sendable (ProvisionLogLine) async -> Void
    ) async throws -> JSONValue? {
        let teller = Teller(told: known, log: log)
        let done: JSONValue?
        do {
            done = try await withDeadline(limit, transition.path) {
                try await withThrowingTaskGroup(of: JSONValue??.self) { group in
                    group.addTask {
                        // The log is for the eye only: that it cannot be followed is no reason to stop waiting.
                        if let path = transition.logPath {
                            try? await followProvisionLog(path) { line in
                                await teller.tell(line)
                                return true
                            }
                        }
                        return JSONValue??.none
                    }
                    group.addTask { .some(try await poll(transition, until: isDone)) }
                    defer { group.cancelAll() }
                    while let result = try await group.next() {
                        if let found = result { return found }
                    }
                    return nil
                }
            }
        } catch is DeadlineExceeded {
            throw ClientError(
                .failed, code: "wait_timeout", message: "It was not done within \(limit.components.seconds) s.",
                hint: "The server goes on with it. \(transition.advice)")
        }
        // The last lines may still have been on their way.
        if let path = transition.logPath, let lines = try? await provisionLog(path) {
            for line in lines { await teller.tell(line) }
        }
        return done
    }

    private func poll(_ transition: Transition, until isDone: (JSONValue?) -> Bool) async throws -> JSONValue? {
        while true {
            let found = try await look(transition)
            if isDone(found) { return found }
            guard let found else {
                throw ClientError(
                    .failed, code: "vm_destroyed", message: "It was destroyed meanwhile.", hint: transition.advice)
            }
            if found["state"]?.text == "error" {
                throw ClientError(
                    .failed, code: "vm_failed", message: found["errorMessage"]?.text ?? "The VM failed.",
                    hint: transition.advice)
            }
            try await Task.sleep(for: .milliseconds(200))  // between two questions
        }
    }

    private func look(_ transition: Transition) async throws -> JSONValue? {
        do {
            let answer = try await call("GET", transition.path).decoded(as: JSONValue.self)
            return answer[transition.field].flatMap { $0["state"]?.text == "destroyed" ? nil : $0 }
        } catch let error as ClientError where error.code == "environment_not_found" || error.code == "vm_destroyed" {
            return nil
        }
    }
}

/// Tells each line of a log once, in whichever way it comes.
private actor Teller {
    private var told: Set<ProvisionLogLine>
    private let log: @Sendable (ProvisionLogLine) async -> Void

    init(told: Set<ProvisionLogLine>, log: @escaping @Sendable (ProvisionLogLine) async -> Void) {
        self.told = told
        self.log = log
    }

    func tell(_ line: ProvisionLogLine) async {
        if told.insert(line).inserted { await log(line) }
    }
}
