import EventLoop
import Foundation
import Logging

/// A server run as a child of this process for as long as it is lent: started, watched, started again when it dies,
/// and stopped.
///
/// It holds a lock file through an inherited descriptor, as do all processes it makes, so the lock is free exactly
/// when nothing of it is left. Should this process die by `SIGKILL`, the kernel sends the server its stop signal
/// (`PR_SET_PDEATHSIG`), and the next start waits for that lock.
struct EmbeddedServer: Sendable {
    var name: String  // as people know it: "PostgreSQL"
    var command: ChildProcess.Command
    var stopSignal: ChildProcess.Signal
    var lockPath: String
    var logPath: String
    var startLimit: Duration = .seconds(120)  // after a crash a database may have much to replay
    var stopLimit: Duration = .seconds(20)
    var logger: Logger

    /// Prepares its data under the lock, starts the server, lends it to `body` once it is ready, and stops it
    /// afterwards, also when `body` throws or is cancelled. Throws `server_failed` with the end of its log if it does
    /// not start.
    func withRunning<Result>(
        preparing prepare: (FileLock) async throws -> Void = { _ in }, _ body: () async throws -> Result
    ) async throws -> Result {
        guard let lock = try await lockFromPredecessor() else {
            throw OperatorError(
                .serverFailed, "\(name) of an earlier run is still there and does not end (lock '\(lockPath)').",
                hint: "End it by hand, then try again.")
        }
        try await prepare(lock)
        rotateLog()
        let running = Running(try await start(lock: lock))
        do {
            let result = try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await supervise(running, lock: lock) }
                defer { group.cancelAll() }
                return try await body()
            }
            await stop(running)
            return result
        } catch {
            await stop(running)
            throw error
        }
    }

    /// Runs a program that prepares the server's data, as the server's user and under its lock.
    func runTool(_ program: ChildProcess.Command, lock: FileLock, within limit: Duration) async throws {
        var program = program
        program.user = command.user
        program.endsWithParent = .kill
        program.descriptors = [lock.descriptor]
        let result = try await ChildProcess.run(program, deadline: limit)
        guard result.ending.isSuccess else {
            let said = (result.text + result.errorText).split(separator: "\n").suffix(6).joined(separator: "\n")
            throw OperatorError(
                .serverFailed, "\(name) not set up: '\(program.executable)' \(result.ending).\n\(said)",
                hint: "See the lines above; the data directory may be full or not writable.")
        }
    }

    /// Waits for what an earlier run left: usually it is on its way out already. Past five seconds it is told to end,
    /// past ten killed; nil if it is there after fifteen.
    private func lockFromPredecessor() async throws -> FileLock? {
        for signal in [Optional<Int32>.none, SIGTERM, SIGKILL] {
            if let signal {
                for process in FileLock.holders(of: lockPath) {
                    logger.warning(
                        "ending a server that an earlier run left",
                        metadata: ["server": "\(name)", "pid": "\(process)", "signal": "\(signal)"])
                    kill(process, signal)
                }
            }
            if let lock = try await FileLock.take(lockPath, within: .seconds(5)) { return lock }
        }
        return nil
    }

    private func start(lock: FileLock) async throws -> ChildProcess {
        let socket = try ReadinessSocket()
        var command = command
        var environment = command.environment ?? ProcessInfo.processInfo.environment
        environment["NOTIFY_SOCKET"] = socket.name
        command.environment = environment
        command.descriptors = [lock.descriptor]
        command.endsWithParent = stopSignal
        command.output = .appending(path: logPath)
        command.error = .appending(path: logPath)
        let child = try await ChildProcess.start(command)
        do {
            try await withDeadline(startLimit, "readiness of \(name)") {
                try await withThrowingTaskGroup(of: ChildProcess.Ending?.self) { group in
                    group.addTask {
                        try await socket.ready()
                        return nil
                    }
                    group.addTask { try await child.wait() }
                    defer { group.cancelAll() }
                    if let ending = try await group.next() ?? nil { throw failure(ending) }
                }
            }
            return child
        } catch {
            await child.send(.kill)
            throw error
        }
    }

    /// Starts the server again whenever it ends, at most every ten seconds. Returns only by cancellation.
    private func supervise(_ running: Running, lock: FileLock) async throws {
        var pause = Duration.milliseconds(100)
        while true {
            let startedAt = ContinuousClock.now
            let ending = try await running.child.wait()
            logger.error(
                "a server ended by itself, starting it again", metadata: ["server": "\(name)", "how": "\(ending)"])
            if startedAt.duration(to: .now) > .seconds(60) { pause = .milliseconds(100) }
            while true {
                try await Task.sleep(for: pause)  // the back-off
                pause = min(pause * 2, .seconds(10))
                do {
                    await running.replace(with: try await start(lock: lock))
                    logger.notice("the server is back", metadata: ["server": "\(name)"])
                    break
                } catch let error as CancellationError {
                    throw error
                } catch {
                    logger.error("the server did not start", metadata: ["server": "\(name)", "error": "\(error)"])
                }
            }
        }
    }

    /// Asks the server to end and waits for it; kills it past the limit. Runs to its end although the caller is
    /// cancelled: what comes after may rely on the server being gone.
    private func stop(_ running: Running) async {
        await Task {
            let child = await running.child
            await child.send(stopSignal)
            do {
                _ = try await withDeadline(stopLimit, "end of \(name)") { try await child.wait() }
            } catch {
                logger.error(
                    "the server did not stop in time and is killed",
                    metadata: ["server": "\(name)", "limit": "\(stopLimit)"])
                await child.send(.kill)
                _ = try? await child.wait()
            }
        }.value
    }

    private func failure(_ ending: ChildProcess.Ending) -> OperatorError {
        let log = (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? ""
        let lines = log.split(separator: "\n").suffix(6).joined(separator: "\n")
        return OperatorError(
            .serverFailed, "\(name) did not start: it \(ending).\n\(lines)", hint: "Its whole log: \(logPath)")
    }

    /// Keeps a log from growing without end: at each start one past 8 MiB becomes `….1`.
    private func rotateLog() {
        let size = (try? FileManager.default.attributesOfItem(atPath: logPath)[.size]) as? Int ?? 0
        if size > 8 << 20 { rename(logPath, logPath + ".1") }
    }

    private actor Running {
        private(set) var child: ChildProcess
        init(_ child: ChildProcess) { self.child = child }
        func replace(with child: ChildProcess) { self.child = child }
    }
}
