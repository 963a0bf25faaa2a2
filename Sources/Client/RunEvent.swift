import Foundation

/// One event of an execution's stream, as read from its line of JSON.
enum RunEvent: Equatable {
    case status(state: String, message: String)
    case started(execution: String)
    case output(toError: Bool, [UInt8])
    case keepalive
    case exit(RunExit)
    case error(code: String, message: String, hint: String)
    case unknown  // of a newer server: not ours to judge

    init(line: [UInt8]) throws {
        if let (toError, bytes) = OutputLine.parse(line) {
            self = .output(toError: toError, bytes)
            return
        }
        guard let fields = try? JSONDecoder().decode(Fields.self, from: Data(line)), let event = fields.event else {
            throw ClientError(
                .failed, code: "answer_not_understood", message: "The server sent a line that is not an event.",
                hint: "Client and server may be of different versions: 'martlet --version'.")
        }
        switch event {
        case "status": self = .status(state: fields.state ?? "", message: fields.message ?? "")
        case "started": self = .started(execution: fields.executionId ?? "")
        case "stdout", "stderr":
            let data = fields.data ?? ""
            let bytes = fields.encoding == "base64" ? Data(base64Encoded: data).map(Array.init) : Array(data.utf8)
            self = .output(toError: event == "stderr", bytes ?? [])
        case "keepalive": self = .keepalive
        case "exit":
            self = .exit(
                RunExit(
                    exitCode: fields.exitCode, signal: fields.signal, reason: fields.reason ?? "",
                    durationMs: fields.durationMs ?? 0, cpuMs: fields.cpuMs))
        case "error":
            self = .error(code: fields.code ?? "", message: fields.message ?? "", hint: fields.hint ?? "")
        default: self = .unknown
        }
    }

    /// Nothing follows it.
    var isEnd: Bool {
        switch self {
        case .exit, .error: true
        case .status, .started, .output, .keepalive, .unknown: false
        }
    }

    private struct Fields: Decodable {
        let event: String?
        let state: String?
        let message: String?
        let executionId: String?
        let data: String?
        let encoding: String?
        let exitCode: Int?
        let signal: String?
        let reason: String?
        let durationMs: Double?
        let cpuMs: Double?
        let code: String?
        let hint: String?
    }
}

/// How a run ended, and what a shell is to be told of it.
struct RunExit: Equatable {
    var exitCode: Int?
    var signal: String?
    var reason: String
    var durationMs: Double
    var cpuMs: Double?

    /// The program's own code; 128 + n for signal n; 124 out of time and 137 out of memory, as timeout(1) and shells
    /// have it; 125 stopped by another limit; 130 cancelled.
    var status: Int32 {
        switch reason {
        case "exited": Int32(truncatingIfNeeded: exitCode ?? 1)
        case "signaled": 128 + (signal.flatMap { Self.signals[$0] } ?? 0)
        case "timeout": 124
        case "memory": 137
        case "cancelled": 130
        default: 125
        }
    }

    /// What to say of it; nil where the exit code says it all.
    var remark: String? {
        let seconds = String(format: "%.1f s", durationMs / 1_000)
        return switch reason {
        case "exited": nil
        case "signaled": "the program was ended by \(signal ?? "a signal")"
        case "timeout": "stopped: out of time after \(seconds) (--timeout)"
        case "memory": "stopped: out of memory (--memory)"
        case "processes": "stopped: too many processes (--processes)"
        case "output_limit": "stopped: too much output (--output-limit)"
        case "cancelled": "cancelled after \(seconds)"
        default: "stopped: \(reason)"
        }
    }

    /// Linux on x86-64 and arm64, signal(7).
    static let signals: [String: Int32] = [
        "SIGHUP": 1, "SIGINT": 2, "SIGQUIT": 3, "SIGILL": 4, "SIGTRAP": 5, "SIGABRT": 6, "SIGBUS": 7, "SIGFPE": 8,
        "SIGKILL": 9, "SIGUSR1": 10, "SIGSEGV": 11, "SIGUSR2": 12, "SIGPIPE": 13, "SIGALRM": 14, "SIGTERM": 15,
        "SIGSTKFLT": 16, "SIGCHLD": 17, "SIGCONT": 18, "SIGSTOP": 19, "SIGTSTP": 20, "SIGTTIN": 21, "SIGTTOU": 22,
        "SIGURG": 23, "SIGXCPU": 24, "SIGXFSZ": 25, "SIGVTALRM": 26, "SIGPROF": 27, "SIGWINCH": 28, "SIGIO": 29,
        "SIGPOLL": 29,
        "SIGPWR": 30, "SIGSYS": 31,
    ]
}
