import Fleet

/// How far the reader of a run has got: `<execution>:<values>:<bytes of stdout>:<bytes of stderr>`, and `:end` once it
/// has the last value.
struct RunPosition: CustomStringConvertible, Equatable {
    let execution: ExecutionID
    var values = 0
    var stdoutBytes = 0
    var stderrBytes = 0
    var isEnd = false

    /// The position of a reader for whom nothing was run; of no execution, so who comes back with it is refused.
    static let nowhere = "none"

    init(execution: ExecutionID) { self.execution = execution }

    /// `nil` if it is none of ours.
    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 4 || (parts.count == 5 && parts[4] == "end"), let id = ExecutionID(String(parts[0])),
            let values = Int(parts[1]), let stdout = Int(parts[2]), let stderr = Int(parts[3]),
            values >= 0, stdout >= 0, stderr >= 0
        else { return nil }
        execution = id
        self.values = values
        stdoutBytes = stdout
        stderrBytes = stderr
        isEnd = parts.count == 5
    }

    var description: String {
        "\(execution):\(values):\(stdoutBytes):\(stderrBytes)" + (isEnd ? ":end" : "")
    }

    /// After one value more, which is the last.
    var end: RunPosition {
        var end = self
        end.values += 1
        end.isEnd = true
        return end
    }
}
