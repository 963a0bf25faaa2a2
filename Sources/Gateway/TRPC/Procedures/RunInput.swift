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
