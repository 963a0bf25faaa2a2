import Fleet
import HTTPTypes

/// What a request asks for, read from its head alone: which procedures, in what form the answer is wanted, who the
/// query says is calling. Names nothing that exists; that is the router's to find out.
struct TRPCRequest: Sendable {
    /// How answers are written.
    enum Form {
        case single  // one envelope
        case batch  // an array of envelopes
        case lines  // JSON Lines, an envelope when it is ready
        case events  // server-sent events
    }

    private(set) var form: Form
    let paths: [String]
    /// What is wrong with all of it; belongs to no call.
    private(set) var fault: TRPCFault?
    /// A token from `connectionParams`: an EventSource can send no header.
    let token: String?
    /// Where a reader that lost its connection was (header first, then the two names tRPC takes in the query).
    let lastEventID: String?

    init(_ head: HTTPRequest, _ target: RequestTarget, prefix: String, batchLimit: Int) {
        let name = RequestTarget.decoded(target.path.dropFirst(prefix.count))
        let isBatch = target["batch"] == "1"
        // Decoded first, then split: a comma may come as %2C.
        paths =
            isBatch
            ? (name ?? "").split(separator: ",", omittingEmptySubsequences: false).map(String.init) : [name ?? ""]
        let wantsLines = head.headerFields[.trpcAccept] == "application/jsonl" || head.accepts("application/jsonl")
        form =
            head.accepts("text/event-stream") ? .events : !isBatch ? .single : wantsLines ? .lines : .batch
        lastEventID =
            [head.headerFields[.lastEventID], target["lastEventId"], target["Last-Event-Id"]]
            .compactMap { $0 }.first { !$0.isEmpty }
        var fault = Self.refusal(of: head)
        do {
            token = try Self.token(in: target["connectionParams"])
        } catch {
            token = nil
            fault = fault ?? TRPCFault(error, as: .parseError)
        }
        func check(_ isFine: Bool, _ message: String, _ hint: String) {
            if !isFine, fault == nil { fault = TRPCFault(ServiceError(.invalidRequest, message, hint: hint)) }
        }
        check(name != nil, "The path is not well escaped.", "Escape it as encodeURIComponent does.")
        check(
            isBatch || !wantsLines, "Streaming requests must be batched (you can do a batch of 1)",
            "Add 'batch=1' to the query, with an input like {\"0\":…}.")
        check(
            form != .events || !isBatch, "Cannot batch subscription calls", "Use httpSubscriptionLink for them.")
        check(
            paths.count <= batchLimit, "Batch call exceeds maximum size",
            "At most \(batchLimit) calls fit in one; set 'maxItems' of the link to that.")
        self.fault = fault
    }

    /// Gives a subscription its events although the request did not ask for them by name.
    mutating func answerWithEvents() { form = .events }

    /// Notes what is wrong with all of it; what was wrong first stays.
    mutating func refuse(_ fault: TRPCFault) { self.fault = self.fault ?? fault }

    /// Bodies are JSON; a `GET` may say of its body, of which there is none, what it likes.
    private static func refusal(of head: HTTPRequest) -> TRPCFault? {
        let type = head.headerFields[.contentType]?.lowercased()
        let hint = "Send 'content-type: application/json'."
        if head.method == .get {
            guard let type, type.hasPrefix("multipart/form-data") || type.hasPrefix("application/octet-stream") else {
                return nil
            }
            return TRPCFault(
                ServiceError(.methodNotAllowed, "A GET carries no \(type.prefix(64)).", hint: "Send it as a POST."))
        }
        guard let type else {
            return TRPCFault(ServiceError(.unsupportedMediaType, "Missing content-type header", hint: hint))
        }
        guard type.hasPrefix("application/json") else {
            return TRPCFault(
                ServiceError(.unsupportedMediaType, "Unsupported content-type \"\(type.prefix(64))\"", hint: hint))
        }
        return nil
    }

    /// Of an object of strings, or `null`: `token` is one, `authorization` a header's value.
    private static func token(in parameters: String?) throws(ServiceError) -> String? {
        guard let parameters, !parameters.isEmpty else { return nil }
        var reader = try JSONReader(Array(parameters.utf8), of: "value of 'connectionParams'")
        var token: String?
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            if try reader.null() { return }
            try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
                let value = try reader.string()
                switch name.lowercased() {
                case "token": token = value
                case "authorization" where value.lowercased().hasPrefix("bearer "):
                    token = token ?? String(value.dropFirst(7))
                default: break
                }
            }
        }
        return token
    }
}

extension HTTPRequest {
    /// Whether the `Accept` header names exactly this type; `*/*` asks for nothing in particular.
    fileprivate func accepts(_ type: String) -> Bool {
        headerFields[.accept]?.split(separator: ",").contains { range in
            range.split(separator: ";").first.map { $0.filter { $0 != " " }.lowercased() } == type
        } ?? false
    }
}

extension HTTPField.Name {
    static let trpcAccept = HTTPField.Name("trpc-accept")!
    static let lastEventID = HTTPField.Name("Last-Event-ID")!
}
