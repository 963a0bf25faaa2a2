import EventLoop
import Foundation

/// Lets one operation at a time at each VM: in this process by waiting in turn, between processes by a file lock. The
/// lock is handed to the launcher too, so one left over by a dead process still keeps its VM busy.
struct Turnstile: Sendable {
    private let directory: String
    private let patience: Duration
    private let turns = Turns()

    init(directory: String, patience: Duration) {
        self.directory = directory
        self.patience = patience
    }

    /// Runs `body` with the descriptor of the held lock. `unblock` is called once if the wait takes too long.
    func pass<Result>(
        _ name: String, unblock: () async -> Void = {}, _ body: (_ lock: Int32) async throws -> Result
    ) async throws -> Result {
        try await turns.take(name) {
            let lock = try await acquire(name, unblock: unblock)
            defer { close(lock) }
            return try await body(lock)
        }
    }

    /// Removes the lock's file; for the holder, as the last thing.
    func forget(_ name: String) { unlink("\(directory)/\(name)") }

    private func acquire(_ name: String, unblock: () async -> Void) async throws -> Int32 {
        try Files.makeDirectory(directory, mode: 0o700)
        for attempt in 0..<2 {
            let end = ContinuousClock.now + (attempt == 0 ? patience : .seconds(5))
            while ContinuousClock.now < end {
                if let lock = try tryLock("\(directory)/\(name)") { return lock }
                try await Task.sleep(for: .milliseconds(20))  // flock(2) has no event to wait for
            }
            if attempt == 0 { await unblock() }
        }
        throw ProviderError(
            .failed, "VM '\(name)' is busy with another operation.", hint: "Try again when that has ended.",
            isRetryable: true)
    }

    private func tryLock(_ path: String) throws(ProviderError) -> Int32? {
        let lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw Files.failure("open", path, errno) }
        var held = stat()
        var named = stat()
        // A holder may have removed the file between our opening and locking it.
        if flock(lock, LOCK_EX | LOCK_NB) == 0, fstat(lock, &held) == 0, stat(path, &named) == 0,
            held.st_ino == named.st_ino
        {
            return lock
        }
        close(lock)
        return nil
    }
}
