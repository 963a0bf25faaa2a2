import Execution
import Fleet

/// The code to run, as `code` or `command`, with all that `POST /v1/execute` takes beside it.
struct RunInput: ProcedureInput {
    let request: ExecutionRequest
    /// Whether a mutation hands out values one by one where that can be done.
    let isStreamed: Bool
    /// Whether a subscriber is given the positions of its values.
    let isTracked: Bool
    let lastEventID: String?

    /// The language of code that names none: a command.
    static let language = "bash"

    init(_ json: [UInt8]?) throws(ServiceError) {
        var draft = ExecuteBody.Draft()
        var (isStreamed, isTracked) = (false, false)
        var lastEventID: String?
        try JSONReader.fields(of: json) { (reader: inout JSONReader, name: String) throws(ServiceError) in
            switch name {
            case "command": draft.code = try reader.stringBytes()
            case "stream": isStreamed = try reader.null() ? false : try reader.boolean()
            case "tracked": isTracked = try reader.null() ? false : try reader.boolean()
            case "lastEventId": lastEventID = try reader.null() ? nil : try reader.string()
            default: if try !draft.read(name, &reader) { try reader.any() }
            }
        }
        guard draft.code?.isEmpty == false else {
            throw ServiceError(
                .invalidRequest, "'code' is missing or empty.",
                hint: "Send what to run as 'code' or 'command', and its 'language' unless that is bash.")
        }
        draft.language = draft.language ?? Self.language
        request = try draft.request(try JSONReader([], of: "input"))
        self.isStreamed = isStreamed
        self.isTracked = isTracked || lastEventID != nil
        self.lastEventID = lastEventID.flatMap { $0.isEmpty ? nil : $0 }
    }
}

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
