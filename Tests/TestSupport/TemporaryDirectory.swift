import Foundation

/// Lends a fresh directory, mode 0700, with a path short enough for a unix socket in it (108 bytes), and removes it
/// with all it holds on return and on throw.
package func withTemporaryDirectory<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let directory = try makeTemporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    return try await body(directory)
}

/// Makes what ``withTemporaryDirectory(_:)`` lends, for fixtures that live as long as the process.
package func makeTemporaryDirectory() throws -> String {
    var template = Array("/tmp/martlet-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
        throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
    }
    return template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
}
