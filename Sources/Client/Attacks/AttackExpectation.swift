/// The end that a run of an attack has to come to. What is not said is not looked at; nothing said at all means that the
/// program exits with 0 and that each line it prints begins with `blocked: `.
struct AttackExpectation: Decodable, Sendable {
    var reason: OneOrMore?
    var exitCode: Int?
    var signal: OneOrMore?
    var refused: OneOrMore?  // the codes of a request that comes to no run
    var stdout: String?
    var contains: String?
    var lines: String?
    var bytes: Int?  // of standard output, at least
    var withinMs: Int?
    var cpuWithinMs: Double?  // processor time of all its processes, however busy the machine is
    var left: Bool?  // the client goes away

    /// `"a"` or `["a", "b"]`.
    struct OneOrMore: Decodable, Sendable {
        var values: [String]

        init(_ values: String...) { self.values = values }

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            values = try (try? [container.decode(String.self)]) ?? container.decode([String].self)
        }
    }

    init() {}

    init(exitCode: Int) { self.exitCode = exitCode }

    /// What a program comes to that sends itself a signal; nil for signals that it is not said of.
    init?(endBy signal: String) {
        switch signal {
        case "SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH": lines = "survived"  // signal(7): ignored unless handled
        case "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU": reason = OneOrMore("timeout", "exited")
        default:
            reason = OneOrMore("signaled")
            self.signal = OneOrMore(signal)
        }
    }

    private var saysNothingOfOutput: Bool {
        stdout == nil && contains == nil && lines == nil && bytes == nil
    }

    /// In words, for a table.
    var text: String {
        if left == true { return "left" }
        if let refused { return "refused: \(refused.values.joined(separator: " or "))" }
        var words = [(reason?.values ?? ["exited"]).joined(separator: " or ")]
        if let exitCode { words.append("\(exitCode)") }
        if let signal { words.append(signal.values.joined(separator: " or ")) }
        if reason == nil, exitCode == nil { words.append(saysNothingOfOutput ? "0, all blocked" : "0") }
        return words.joined(separator: " ")
    }

    /// What is not as expected.
    func faults(in seen: AttackRun) -> [String] {
        var faults: [String] = []
        if left == true { return seen.left ? [] : ["the run ended before the client left: \(seen.text)"] }
        if let refused {
            return refused.values.contains(seen.refusal ?? "") ? [] : ["not refused so: \(seen.text)"]
        }
        guard let exit = seen.exit else { return ["no end: \(seen.text)"] }
        if !(reason?.values ?? ["exited"]).contains(exit.reason) { faults.append("ended otherwise: \(seen.text)") }
        let code = exitCode ?? (reason == nil ? 0 : nil)
        if let code, exit.exitCode != code { faults.append("exit code \(exit.exitCode.map(String.init) ?? "none")") }
        if let signal, !signal.values.contains(exit.signal ?? "") { faults.append("signal \(exit.signal ?? "none")") }
        faults += outputFaults(in: seen)
        if let withinMs, seen.milliseconds > withinMs { faults.append("took \(seen.times)") }
        if let cpuWithinMs, exit.cpuMs ?? .infinity > cpuWithinMs { faults.append("took \(seen.times)") }
        if !faults.isEmpty, !seen.errorText.isEmpty { faults.append("stderr: \(seen.errorText.suffix(300))") }
        return faults
    }

    private func outputFaults(in seen: AttackRun) -> [String] {
        var faults: [String] = []
        if let stdout, seen.output != Array(stdout.utf8) { faults.append("printed \(seen.outputText.prefix(200))") }
        if let contains, !seen.outputText.contains(contains) {
            faults.append("does not print '\(contains)': \(seen.outputText.prefix(200))")
        }
        if let bytes, seen.outputBytes < bytes { faults.append("printed \(seen.outputBytes) bytes only") }
        let isPlain = reason == nil && exitCode == nil && saysNothingOfOutput
        if let prefix = lines ?? (isPlain ? "blocked: " : nil) {
            let lines = seen.outputText.split(separator: "\n")
            if lines.isEmpty { faults.append("printed nothing") }
            faults += lines.filter { !$0.hasPrefix(prefix) }.map { String($0.prefix(200)) }
        }
        return faults
    }
}
