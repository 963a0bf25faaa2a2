/// Why a provider did not do what it was asked. ``code`` is the contract: added to, never renamed or reused.
package struct ProviderError: Error, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case invalidSpec = "vm_spec_invalid"
        case notSupported = "vm_feature_not_supported"
        case missing = "vm_missing"
        case unavailable = "provider_unavailable"
        case startTimeout = "vm_start_timeout"
        case failed = "provider_failed"
    }

    package let code: Code
    package let message: String
    package let hint: String
    /// Whether the same call may succeed later without anybody changing anything.
    package var isRetryable: Bool
    package let cause: (any Error)?  // for the log only

    package init(
        _ code: Code, _ message: String, hint: String, isRetryable: Bool = false, cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.hint = hint
        self.isRetryable = isRetryable
        self.cause = cause
    }

    package var description: String {
        "\(code.rawValue): \(message) \(hint)" + (cause.map { " Cause: \($0)" } ?? "")
    }

    static func invalidSpec(_ what: String, hint: String) -> ProviderError {
        ProviderError(.invalidSpec, "VM not made: \(what).", hint: hint)
    }

    static func missing(_ id: VMInstance.ID) -> ProviderError {
        ProviderError(
            .missing, "There is no VM '\(id)' on this machine.", hint: "Create it first, or look for it elsewhere.")
    }
}
