import EventLoop

extension SSHSession {
    /// Writes a file in the machine over SFTP, with these permission bits (`0o755`). Readers see the old file or the
    /// new one and nothing between, and a program that runs from the old one goes on. Throws `uploadFailed` with the
    /// server's reason, or `timeout`.
    package func upload(
        _ bytes: [UInt8], to path: String, mode: Int32, deadline: Duration = .seconds(60)
    ) async throws {
        do {
            try await withDeadline(deadline, "upload") { try await self.write(bytes, to: path, mode: mode) }
        } catch is DeadlineExceeded {
            throw SSHError(.timeout, "\(endpoint): '\(path)' not uploaded within \(deadline)")
        }
    }

    private nonisolated func write(_ bytes: [UInt8], to path: String, mode: Int32) async throws {
        do {
            try await withSFTP { client in
                let place = Array(path.utf8)
                let part = Array("\(path).\(UInt64.random(in: .min ... .max)).part".utf8)
                do {
                    try await client.withFile(part, .create(mode: 0o600)) { file in
                        try await file.write(bytes)
                        try await file.flush()
                        try await file.setMode(UInt32(bitPattern: mode))
                    }
                    try await client.rename(part, to: place, replacing: true)
                } catch {
                    let removal = Task {  // also when we are cancelled; awaited right here
                        try await withDeadline(.seconds(2), "removal") { try await client.remove(part) }
                    }
                    _ = await removal.result
                    throw error
                }
            }
        } catch let error as SFTPError {
            throw SSHError(.uploadFailed, error.message)
        }
    }
}
