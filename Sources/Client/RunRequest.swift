import Foundation

/// What `POST /v1/execute` is sent.
package struct RunRequest: Encodable, Sendable {
    package struct File: Encodable, Sendable {
        package let path: String
        package let content: String
        package let encoding: String

        /// As text where the bytes are UTF-8, else as base64.
        package init(path: String, bytes: [UInt8]) {
            self.path = path
            (content, encoding) = encoded(bytes)
        }
    }

    package struct Limits: Encodable, Sendable {
        package var memoryMb: Int?
        package var cpuMs: Int?
        package var outputBytes: Int?
        package var processes: Int?

        package init() {}
    }

    package var language: String
    package var code: String
    package var codeEncoding: String?
    package var stdin: String?  // nil: left open for what is posted to it
    package var args: [String] = []
    package var env: [String: String] = [:]
    package var files: [File] = []
    package var timeoutMs: Int?
    package var limits = Limits()
    package var network: String?  // nil: as much as the environment's runs may have
    package var environment: String?

    package init(language: String, code: [UInt8]) {
        self.language = language
        let (text, encoding) = encoded(code)
        self.code = text
        codeEncoding = encoding == "utf8" ? nil : encoding
    }
}

private func encoded(_ bytes: [UInt8]) -> (content: String, encoding: String) {
    if let text = String(validating: bytes, as: UTF8.self) { return (text, "utf8") }
    return (Data(bytes).base64EncodedString(), "base64")
}
