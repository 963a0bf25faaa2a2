import Execution
import Fleet
import Foundation

/// The body of `POST /v1/execute`. Here its form is checked; whether the values are allowed is Execution's to say.
enum ExecuteBody {
    private static let fields =
        "code, codeEncoding, language, stdin, args, env, files, timeoutMs, limits, network and environment"

    /// Throws `malformed_json` or `invalid_request`. A field that is `null` counts as left out; a field nobody
    /// knows is refused, since it is a misspelt one whose default would surprise.
    static func decode(_ bytes: [UInt8]) throws(ServiceError) -> ExecutionRequest {
        var reader = try JSONReader(bytes)
        var draft = Draft()
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
                guard try draft.read(name, &reader) else {
                    throw reader.invalid("is not a known field", hint: "The body has \(fields).")
                }
            }
        }
        return try draft.request(reader)
    }

    /// The fields as they are read, in whatever order they come.
    struct Draft {
        var code: [UInt8]?
        var language: String?
        private var isBase64 = false
        private var request = ExecutionRequest(code: [], language: "")

        /// Reads the value of a field; `false`, and nothing read, if it is not one of ours.
        mutating func read(_ name: String, _ reader: inout JSONReader) throws(ServiceError) -> Bool {
            guard Self.names.contains(name) else { return false }
            if try reader.null() { return true }
            switch name {
            case "code": code = try reader.stringBytes()
            case "codeEncoding": isBase64 = try ExecuteBody.encoding(&reader)
            case "language": language = try reader.string()
            case "stdin": request.stdin = try reader.stringBytes()
            case "network": request.network = try ExecuteBody.network(&reader)
            case "environment": request.environment = try reader.string()
            case "timeoutMs": request.limits.timeoutMs = try reader.integer()
            case "limits": try ExecuteBody.limits(&reader, into: &request.limits)
            case "args":
                var arguments: [String] = []
                try reader.array { (reader: inout JSONReader) throws(ServiceError) in
                    arguments.append(try reader.string())
                }
                request.arguments = arguments
            case "env":
                var variables: [String: String] = [:]
                try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
                    variables[name] = try reader.string()
                }
                request.environmentVariables = variables
            case "files":
                var files: [ExecutionRequest.File] = []
                try reader.array { (reader: inout JSONReader) throws(ServiceError) in
                    files.append(try ExecuteBody.file(&reader))
                }
                request.files = files
            default: return false
            }
            return true
        }

        private static let names: Set = [
            "code", "codeEncoding", "language", "stdin", "args", "env", "files", "timeoutMs", "limits", "network",
            "environment",
        ]

        /// What was asked for; throws `invalid_request` if something is missing. `reader` is the one that read it.
        func request(_ reader: JSONReader) throws(ServiceError) -> ExecutionRequest {
            guard let code else { throw ExecuteBody.missing("code", "the text of the program") }
            guard let language else {
                throw ExecuteBody.missing("language", "the language of 'code', such as 'python'")
            }
            guard let bytes = isBase64 ? ExecuteBody.decoded(code) : code else {
                throw reader.invalid("has a 'code' that is not base64", hint: ExecuteBody.base64Hint)
            }
            var request = request
            request.code = bytes
            request.language = language
            return request
        }
    }

    private static func limits(
        _ reader: inout JSONReader, into limits: inout ExecutionRequest.Limits
    ) throws(ServiceError) {
        // Collected apart: `reader` reads into it while the caller holds the request.
        var result = limits
        try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
            guard ["memoryMb", "cpuMs", "outputBytes", "processes"].contains(name) else {
                throw reader.invalid(
                    "is not a known field", hint: "'limits' has memoryMb, cpuMs, outputBytes and processes.")
            }
            if try reader.null() { return }
            switch name {
            case "memoryMb": result.memoryMb = try reader.integer()
            case "cpuMs": result.cpuMs = try reader.integer()
            case "outputBytes": result.outputBytes = try reader.integer()
            default: result.processes = try reader.integer()
            }
        }
        limits = result
    }

    private static func file(_ reader: inout JSONReader) throws(ServiceError) -> ExecutionRequest.File {
        var path: String?
        var content: [UInt8]?
        var isBase64 = false
        try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
            switch name {
            case "path": path = try reader.string()
            case "content": content = try reader.stringBytes()
            case "encoding":
                isBase64 = try reader.null() ? false : try encoding(&reader)
            default:
                throw reader.invalid("is not a known field", hint: "A file has path, content and encoding.")
            }
        }
        guard let path else { throw reader.invalid("has no 'path'", hint: "A file has path, content and encoding.") }
        guard let content else {
            throw reader.invalid("has no 'content'", hint: "Send an empty string for an empty file.")
        }
        guard let bytes = isBase64 ? decoded(content) : content else {
            throw reader.invalid("has a 'content' that is not base64", hint: base64Hint)
        }
        return ExecutionRequest.File(path: path, content: bytes)
    }

    private static let base64Hint = "Use RFC 4648 with padding and no line ends."

    private static func decoded(_ base64: [UInt8]) -> [UInt8]? {
        Data(base64Encoded: Data(base64)).map(Array.init)
    }

    private static func encoding(_ reader: inout JSONReader) throws(ServiceError) -> Bool {
        switch try reader.string() {
        case "utf8": return false
        case "base64": return true
        default: throw reader.invalid("is not an encoding", hint: "Use 'utf8' (the default) or 'base64'.")
        }
    }

    private static func network(_ reader: inout JSONReader) throws(ServiceError) -> NetworkPolicy {
        guard let policy = NetworkPolicy(rawValue: try reader.string()) else {
            throw reader.invalid("is not a network", hint: "Use 'none' or 'egress', or leave it out.")
        }
        return policy
    }

    private static func missing(_ field: String, _ what: String) -> ServiceError {
        ServiceError(.invalidRequest, "'\(field)' is missing.", hint: "Send \(what); the body has \(fields).")
    }
}
