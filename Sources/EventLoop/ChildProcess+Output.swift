import CLinux
import Foundation

extension ChildProcess {
    /// What a program that ran to its end left.
    package struct Output: Sendable {
        package let ending: Ending
        package let output: [UInt8]
        package let error: [UInt8]

        package var text: String { String(decoding: output, as: UTF8.self) }
        package var errorText: String { String(decoding: error, as: UTF8.self) }
    }

    /// Runs a short command to its end and collects what it prints, at most `limit` bytes of each stream (what is
    /// over is read and dropped). Past the deadline, or when the caller is cancelled, it is killed, and
    /// ``DeadlineExceeded`` or `CancellationError` thrown once it is gone. Its `output` and `error` are ours to set.
    package static func run(
        _ command: Command, deadline: Duration, limit: Int = 1 << 20, on loop: EventLoop = .next()
    ) async throws -> Output {
        var command = command
        let output = try Pipe()
        let error = try Pipe()
        command.output = .descriptor(output.writeEnd)
        command.error = .descriptor(error.writeEnd)
        let child: ChildProcess
        do {
            child = try await start(command, on: loop)
        } catch {
            output.closeWriteEnd()
            throw error
        }
        output.closeWriteEnd()
        error.closeWriteEnd()
        do {
            return try await withDeadline(deadline, "end of '\(command.executable)'") {
                async let outputBytes = PipeReader(output, loop: loop).readAll(limit: limit)
                async let errorBytes = PipeReader(error, loop: loop).readAll(limit: limit)
                return try await Output(ending: child.wait(), output: outputBytes, error: errorBytes)
            }
        } catch {
            await child.send(.kill)
            throw error
        }
    }
}

/// The two ends of a pipe, closed with the object at the latest. The read end does not block.
///
/// `@unchecked Sendable`: `writeEnd` is closed by the one task that made the pipe, before any other task gets it.
final class Pipe: @unchecked Sendable {
    let readEnd: Int32
    private(set) var writeEnd: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else {
            throw SpawnError(executable: "pipe", reason: String(cString: strerror(errno)))
        }
        readEnd = ends[0]
        writeEnd = ends[1]
        _ = fcntl(readEnd, F_SETFL, O_NONBLOCK)
    }

    func closeWriteEnd() {
        guard writeEnd >= 0 else { return }
        close(writeEnd)
        writeEnd = -1
    }

    deinit {
        closeWriteEnd()
        close(readEnd)
    }
}

private actor PipeReader {
    let pipe: Pipe
    let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(_ pipe: Pipe, loop: EventLoop) {
        self.pipe = pipe
        self.loop = loop
    }

    func readAll(limit: Int) async throws -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(pipe.readEnd, &buffer, buffer.count)
            let code = errno
            if count > 0 {
                all.append(contentsOf: buffer.prefix(min(count, limit - all.count)))
            } else if count == 0 {
                return all
            } else if code == EAGAIN {
                _ = try await loop.readiness(of: pipe.readEnd, for: .read)
            } else if code != EINTR {
                throw SpawnError(executable: "pipe", reason: String(cString: strerror(code)))
            }
        }
    }
}
