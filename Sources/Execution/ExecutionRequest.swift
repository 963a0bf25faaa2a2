package import Fleet

/// One snippet to run, as decoded and not yet checked against tier and runtimes.
package struct ExecutionRequest: Sendable {
    /// A file laid beside the code. `path` is relative to the working directory and stays inside it.
    package struct File: Sendable {
        package var path: String
        package var content: [UInt8]

        package init(path: String, content: [UInt8]) {
            self.path = path
            self.content = content
        }
    }

    /// What the request asks for; `nil` leaves the runtime's or the tier's own figure.
    package struct Limits: Sendable {
        package var timeoutMs: Int?
        package var memoryMb: Int?
        package var cpuMs: Int?
        package var outputBytes: Int?
        package var processes: Int?

        package init() {}
    }

    package var code: [UInt8]
    package var language: String  // name or alias
    package var stdin: [UInt8]?  // nil: left open for POST …/stdin; given, also empty: sent, then closed
    package var arguments: [String] = []
    package var environmentVariables: [String: String] = [:]
    package var files: [File] = []
    package var limits = Limits()
    package var network: NetworkPolicy?  // nil: as much as the environment's runs may have
    package var environment: String?  // slug or id; nil: the caller's own VM

    package init(code: [UInt8], language: String) {
        self.code = code
        self.language = language
    }
}
