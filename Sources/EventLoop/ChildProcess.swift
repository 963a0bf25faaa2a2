import CLinux
import Foundation

/// A program started by us and living on an event loop: its end is a readable descriptor (pidfd), so waiting for it
/// blocks no thread.
///
/// Started with `posix_spawn` from the loop's thread, which never ends: `PR_SET_PDEATHSIG` fires when the *thread*
/// that made a child ends, so a child asked to die with its parent (``Command/endsWithParent``) dies with this
/// process and not before. A child inherits standard input, output and error and what ``Command/descriptors`` names,
/// and no other descriptor whatever flags a library forgot. It must be waited for, or it stays a zombie.
package actor ChildProcess {
    /// What to start, and with what.
    package struct Command: Sendable {
        package var executable: String  // looked up in PATH unless it holds a slash
        package var arguments: [String]
        package var environment: [String: String]?  // nil: ours
        package var workingDirectory: String?
        package var input: Stream = .null
        package var output: Stream = .null
        package var error: Stream = .null
        package var descriptors: [Int32] = []  // handed over as 3, 4, 5, … in this order
        package var endsWithParent: Signal?  // the signal it gets when this process dies; needs setpriv (util-linux)
        package var user: String?  // as this user with its groups; needs root and setpriv

        package init(_ executable: String, _ arguments: [String] = []) {
            self.executable = executable
            self.arguments = arguments
        }
    }

    package enum Stream: Sendable {
        case null
        case inherited
        case descriptor(Int32)  // stays ours to close
        case appending(path: String)
    }

    package enum Signal: String, Sendable {
        case interrupt = "INT"
        case terminate = "TERM"
        case kill = "KILL"

        var number: Int32 {
            switch self {
            case .interrupt: SIGINT
            case .terminate: SIGTERM
            case .kill: SIGKILL
            }
        }
    }

    package enum Ending: Hashable, Sendable, CustomStringConvertible {
        case exited(Int32)
        case signaled(Int32)

        package var isSuccess: Bool { self == .exited(0) }
        package var description: String {
            switch self {
            case .exited(let code): "exited with code \(code)"
            case .signaled(let number): "ended by signal \(number)"
            }
        }
    }

    package nonisolated let processIdentifier: Int32
    private let loop: EventLoop
    private let pidfd: Int32
    private var ending: Ending?
    private var waiters: [Waiter<Ending>] = []

    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private init(loop: EventLoop, processIdentifier: Int32, pidfd: Int32) {
        self.loop = loop
        self.processIdentifier = processIdentifier
        self.pidfd = pidfd
    }

    /// Starts the program. Throws ``SpawnError`` if it cannot be executed.
    package static func start(_ command: Command, on loop: EventLoop = .next()) async throws
        -> ChildProcess
    {
        let (processIdentifier, pidfd) = try await Spawner(loop: loop).spawn(command)
        let child = ChildProcess(loop: loop, processIdentifier: processIdentifier, pidfd: pidfd)
        await child.watchForEnd()
        return child
    }

    /// Waits until the program has ended, and says how. Any number of callers, also afterwards. Cancellation ends
    /// the wait, not the program.
    package func wait() async throws -> Ending {
        if let ending { return ending }
        let waiter = Waiter<Ending>()
        waiters.append(waiter)
        return try await waiter.value()
    }

    /// Sends the signal unless the program has ended: the number of a process that is gone is never signalled.
    package func send(_ signal: Signal) {
        if ending == nil { kill(processIdentifier, signal.number) }
    }

    private func watchForEnd() {
        loop.watch(pidfd, for: .read) { [self] _ in
            assumeIsolated { $0.reap() }
        }
    }

    private func reap() {
        var status: Int32 = 0
        var result: pid_t
        repeat {
            result = waitpid(processIdentifier, &status, WNOHANG)
        } while result < 0 && errno == EINTR
        guard result == processIdentifier else { return }
        loop.unwatch(pidfd)
        close(pidfd)
        let ending: Ending =
            clinux_status_exited(status) != 0
            ? .exited(clinux_status_code(status)) : .signaled(clinux_status_signal(status))
        self.ending = ending
        for waiter in waiters { waiter.resume(with: .success(ending)) }
        waiters.removeAll()
    }
}

/// Why a program was not started.
package struct SpawnError: Error, CustomStringConvertible {
    package let executable: String
    package let reason: String

    package var description: String { "'\(executable)' not started: \(reason)" }
}

/// Calls `posix_spawn` on the loop's thread.
private actor Spawner {
    let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: EventLoop) { self.loop = loop }

    func spawn(_ command: ChildProcess.Command) throws -> (processIdentifier: Int32, pidfd: Int32) {
        var arguments = [command.executable] + command.arguments
        var wrapper: [String] = []
        if let user = command.user {
            wrapper += ["--reuid=\(user)", "--regid=\(user)", "--init-groups"]
        }
        if let signal = command.endsWithParent { wrapper += ["--pdeathsig=\(signal.rawValue)"] }
        if !wrapper.isEmpty { arguments = ["setpriv"] + wrapper + ["--"] + arguments }
        let executable = arguments[0]
        let environment = (command.environment ?? ProcessInfo.processInfo.environment).map {
            "\($0.key)=\($0.value)"
        }

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        try addStreams(of: command, to: &actions)
        if let directory = command.workingDirectory {
            posix_spawn_file_actions_addchdir_np(&actions, directory)
        }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        posix_spawnattr_setflags(&attributes, Int16(flags))

        var processIdentifier: pid_t = 0
        let code = withCStrings(arguments) { arguments in
            withCStrings(environment) { environment in
                posix_spawnp(&processIdentifier, executable, &actions, &attributes, arguments, environment)
            }
        }
        guard code == 0 else {
            throw SpawnError(executable: executable, reason: String(cString: strerror(code)))
        }
        let pidfd = clinux_pidfd_open(processIdentifier)
        guard pidfd >= 0 else {
            let reason = String(cString: strerror(errno))
            kill(processIdentifier, SIGKILL)
            waitpid(processIdentifier, nil, 0)  // it is being killed: this does not wait for the program's own time
            throw SpawnError(executable: command.executable, reason: "no descriptor for it: \(reason)")
        }
        return (processIdentifier, pidfd)
    }

    private func addStreams(
        of command: ChildProcess.Command, to actions: inout posix_spawn_file_actions_t
    ) throws {
        for (target, stream) in [(Int32(0), command.input), (1, command.output), (2, command.error)] {
            switch stream {
            case .null: posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_RDWR, 0)
            case .inherited: break
            case .descriptor(let source): posix_spawn_file_actions_adddup2(&actions, source, target)
            case .appending(let path):
                posix_spawn_file_actions_addopen(
                    &actions, target, path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
            }
        }
        // A source may sit where another's target is, so all go out of the way first, then into place.
        let parking = max(64, (command.descriptors.max() ?? 0) + 1)
        for (index, source) in command.descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, source, parking + Int32(index))
        }
        for index in command.descriptors.indices {
            posix_spawn_file_actions_adddup2(&actions, parking + Int32(index), 3 + Int32(index))
        }
        posix_spawn_file_actions_addclosefrom_np(&actions, 3 + Int32(command.descriptors.count))
    }
}

private func withCStrings<Result>(
    _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    let pointers = strings.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers + [nil])
}
