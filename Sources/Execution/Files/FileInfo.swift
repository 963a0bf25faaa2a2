package import Foundation
package import SSH

/// What is known of one name below the home.
package struct FileInfo: Sendable {
    package let path: HomePath
    package let attributes: SFTPAttributes
    package var target: [UInt8]?  // of a link

    package var size: UInt64 { attributes.size }
    package var modified: Date { Date(timeIntervalSince1970: TimeInterval(attributes.modified)) }

    /// Tells one content of a file from another. Times in SFTP are whole seconds: of two contents of one size written in
    /// the same second it cannot tell.
    package var tag: String {
        "\"\(String(attributes.modified, radix: 16))-\(String(attributes.size, radix: 16))\""
    }
}

/// Under which circumstances a file is written.
package struct FileCondition: Sendable {
    package enum Expectation: Sendable {
        case anything
        case new  // nothing has the name
        case existing  // whatever it holds
        case tagged([String])  // one of these
    }

    package var expectation = Expectation.anything
    package var mode: UInt32?  // nil: that of the file that is replaced, else 0644
    package var makesParents = false

    package init() {}
}
