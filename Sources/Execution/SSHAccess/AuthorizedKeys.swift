import Fleet
import SSH

/// The file in a VM that lets its owner's own SSH clients in.
///
/// It is the second of the files that OpenSSH looks at by itself, `~/.ssh/authorized_keys2`: the first stays the owner's, and
/// the VMs of every provider heed it, also those whose sshd was set up by others. Programs of the VM can write to it, as to
/// all of the home; what they put there lets nobody in who does not come through a gateway as the owner, and is gone with
/// the next connection.
enum AuthorizedKeys {
    private static let directory = Array(".ssh".utf8)
    private static let file = Array(".ssh/authorized_keys2".utf8)
    private static let first =
        "# Written by Martlet before each connection: see 'martlet key'. Yours is authorized_keys.\n"
    /// More than 64 keys of the largest kind; what is longer was not written here.
    private static let longest = 1 << 20

    static func text(_ keys: [SSHKey]) -> String {
        // The id and not the name: that is somebody's text.
        first + keys.map { "\($0.publicKey) martlet-key-\($0.id)\n" }.joined()
    }

    /// Makes the file hold just `keys`; where it does already, nothing is written. Throws what SFTP and the connection throw.
    static func install(_ keys: [SSHKey], by client: SFTPClient) async throws {
        let wanted = Array(text(keys).utf8)
        if try await content(by: client) == wanted { return }
        if keys.isEmpty {
            do { try await client.remove(file) } catch let error as SFTPError where error.code == .notFound {}
            return
        }
        do {
            try await write(wanted, by: client)
        } catch let error as SFTPError where error.code == .notFound {
            try await client.makeDirectory(directory, mode: 0o700)
            try await write(wanted, by: client)
        }
    }

    /// `nil`: there is no such file, or one that was not written here.
    private static func content(by client: SFTPClient) async throws -> [UInt8]? {
        do {
            // Opening a pipe may never end.
            guard try await client.linkAttributes(file).kind == .file else { return nil }
            return try await client.withFile(file, .read) { handle in
                var bytes: [UInt8] = []
                while let chunk = try await handle.read(), bytes.count <= longest { bytes += chunk }
                return bytes
            }
        } catch let error as SFTPError where error.code == .notFound || error.code == .denied {
            return nil
        }
    }

    private static func write(_ bytes: [UInt8], by client: SFTPClient) async throws {
        let part = file + Array(".\(UInt64.random(in: .min ... .max)).part".utf8)
        do {
            try await client.withFile(part, .create(mode: 0o600)) { handle in
                try await handle.write(bytes)
                try await handle.flush()
            }
            try await client.rename(part, to: file, replacing: true)
        } catch {
            _ = await Task { try await client.remove(part) }.result  // although this task may be cancelled
            throw error
        }
    }
}
