/// What SFTP version 3 knows of a file. Times are whole seconds.
package struct SFTPAttributes: Sendable, Hashable {
    package enum Kind: Sendable {
        case file, directory, link, other
    }

    package var size: UInt64 = 0
    package var permissions: UInt32 = 0  // `st_mode`, the kind included
    package var modified: UInt32 = 0  // seconds since 1970

    package var kind: Kind {
        switch permissions & 0o170_000 {
        case 0o100_000: .file
        case 0o040_000: .directory
        case 0o120_000: .link
        default: .other
        }
    }

    /// The bits that `chmod` sets.
    package var mode: UInt32 { permissions & 0o7777 }

    /// `nil` if the bytes end too early.
    init?(_ reader: inout WireReader) {
        guard let flags = reader.integer() else { return nil }
        if flags & 0x01 != 0 {
            guard let size = reader.long() else { return nil }
            self.size = size
        }
        if flags & 0x02 != 0 { guard reader.long() != nil else { return nil } }  // user and group
        if flags & 0x04 != 0 {
            guard let permissions = reader.integer() else { return nil }
            self.permissions = permissions
        }
        if flags & 0x08 != 0 {
            guard reader.integer() != nil, let modified = reader.integer() else { return nil }
            self.modified = modified
        }
        if flags & 0x8000_0000 != 0 {
            guard let count = reader.integer(), count <= 64 else { return nil }
            for _ in 0..<count { guard reader.slice() != nil, reader.slice() != nil else { return nil } }
        }
    }
}

/// One name in a directory, any bytes but `/` and NUL, and what `lstat` says of it.
package struct SFTPEntry: Sendable {
    package let name: [UInt8]
    package let attributes: SFTPAttributes
}
