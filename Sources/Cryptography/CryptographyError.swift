/// Why a cryptographic operation gave no result. The message never holds a key or a plain text.
package struct CryptographyError: Error, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case libraryFailed = "crypto_library_failed"
        case invalidKey = "crypto_invalid_key"
        /// Not made by this key for this context, changed since, or cut short: which of them cannot be told.
        case notAuthentic = "crypto_not_authentic"
    }

    package let code: Code
    package let message: String

    package var description: String { "\(code.rawValue): \(message)" }

    static func libraryFailed(_ operation: String) -> CryptographyError {
        CryptographyError(code: .libraryFailed, message: "OpenSSL could not \(operation).")
    }
}
