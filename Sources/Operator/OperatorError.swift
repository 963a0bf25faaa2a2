/// Why something on this machine could not be set up or started, and what the person at the keyboard can do.
package struct OperatorError: Error, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case invalidSetting = "invalid_setting"
        case alreadyRunning = "already_running"
        case notRunning = "not_running"
        case directoryUnusable = "directory_unusable"
        case programMissing = "program_missing"
        case serverFailed = "server_failed"
        case providerUnusable = "provider_unusable"
        case keyUnusable = "key_unusable"
    }

    package let code: Code
    package let message: String
    package let hint: String

    package init(_ code: Code, _ message: String, hint: String) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    package var description: String { "\(message) \(hint)" }
}
