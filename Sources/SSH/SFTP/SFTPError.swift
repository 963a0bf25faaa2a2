/// Why the SFTP server did not do what it was asked. Version 3 of the protocol knows few reasons, and OpenSSH says
/// `failed` of all others: a full disk, a name that is taken, a directory that is not empty.
package struct SFTPError: Error, CustomStringConvertible {
    package enum Code: UInt32, Sendable {
        case notFound = 2  // also a part of the path that is no directory, and a circle of links
        case denied = 3
        case failed = 4
        case invalid = 5  // a name too long, a value that the call does not take
        case unsupported = 8
    }

    package let code: Code
    package let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "\(code): \(message)" }
}
