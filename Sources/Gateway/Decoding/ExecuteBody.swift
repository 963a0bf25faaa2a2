import Execution
import Fleet
import Foundation

/// The body of `POST /v1/execute`. Here its form is checked; whether the values are allowed is Execution's to say.
enum ExecuteBody {
    private static let fields =
        "code, codeEncoding, language, stdin, args, env, files, timeoutMs, limits and environment"

    /// Throws `malformed_json` or `invalid_request`. A field that is `null` counts as left out; a field nobody
    /// knows is refused, since it is a misspelt one whose default would surprise.
    static func decode(_ bytes: [UInt8]) throws(ServiceError) -> ExecutionRequest {
        var reader = try JSONReader(bytes)
        var code: [UInt8]?
        var isBase64 = false
        var language: String?
        var request = ExecutionRequest(code: [], language: "")
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
                if try reader.null() { return try known(name, reader) }
                switch name {
                case "code": code = try reader.stringBytes()
                case "codeEncoding": isBase64 = try encoding(&reader)
                case "language": language = try reader.string()
                case "stdin": request.stdin = try reader.stringBytes()
                case "environment": request.environment = try reader.string()
                case "timeoutMs": request.limits.timeoutMs = try reader.integer()
                case "limits": try limits(&reader, into: &request.limits)
                case "args":
                    try reader.array { (reader: inout JSONReader) throws(ServiceError) in
                        request.arguments.append(try reader.string())
                    }
                case "env":
                    try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
                        request.environmentVariables[name] = try reader.string()
                    }
                case "files":
                    try reader.array { (reader: inout JSONReader) throws(ServiceError) in
                        request.files.append(try file(&reader))
                    }
                default: try known(name, reader)
                }
            }
        }
        guard let code else { throw missing("code", "the text of the program") }
        guard let language else { throw missing("language", "the language of 'code', such as 'python'") }
        guard let bytes = isBase64 ? decoded(code) : code else {
            throw reader.invalid("has a 'code' that is not base64", hint: base64Hint)
        }
        request.code = bytes
        request.language = language
        return request
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

    private static func known(_ name: String, _ reader: JSONReader) throws(ServiceError) {
        guard
            ["code", "codeEncoding", "language", "stdin", "args", "env", "files", "timeoutMs", "limits", "environment"]
                .contains(name)
        else { throw reader.invalid("is not a known field", hint: "The body has \(fields).") }
    }

    private static func missing(_ field: String, _ what: String) -> ServiceError {
        ServiceError(.invalidRequest, "'\(field)' is missing.", hint: "Send \(what); the body has \(fields).")
    }
}
