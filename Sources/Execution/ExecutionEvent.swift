package import Fleet

/// One event in the life of an execution; the fields are those of the API (docs/ARCHITECTURE.md, "Events").
///
/// A stream ends with exactly one ``exit(_:)`` or ``error(_:)``. One that ends without was cut.
package enum ExecutionEvent: Sendable {
    package enum Progress: String, Sendable { case queued, starting, connecting, running }
    package enum Stream: String, Sendable { case stdout, stderr }

    case status(Progress, message: String)
    case started(ExecutionID, RunNetwork = RunNetwork())
    case output(Stream, [UInt8])  // never empty; at most 64 KiB; not aligned to characters
    case keepalive
    case exit(ExitReport)
    case error(ServiceError)
}

/// What a run reaches beside its own VM.
package struct RunNetwork: Sendable, Hashable {
    package var policy: NetworkPolicy
    /// Why it is less than the run might have had; `nil` where it is not.
    package var notice: String?

    package init(_ policy: NetworkPolicy = .isolated, notice: String? = nil) {
        self.policy = policy
        self.notice = notice
    }
}

/// How a run ended. No figure here is made up: what is unknown is `nil`.
package struct ExitReport: Sendable, Hashable, Decodable {
    package enum Reason: String, Sendable, Codable {
        case exited, signaled, timeout, memory, processes, cancelled
        case outputLimit = "output_limit"
    }
    package enum Stage: String, Sendable, Codable { case compile, run }

    package var exitCode: Int?  // nil when a signal ended it
    package var signal: String?  // "SIGSEGV"
    package var reason: Reason
    package var stage: Stage
    package var durationMs: Double
    package var cpuMs: Double?  // nil when the runner could not say: the run was cut off
    package var maxRssBytes: Int?
    package var truncated: Bool

    package init(
        exitCode: Int?, signal: String?, reason: Reason, stage: Stage, durationMs: Double, cpuMs: Double?,
        maxRssBytes: Int?, truncated: Bool
    ) {
        self.exitCode = exitCode
        self.signal = signal
        self.reason = reason
        self.stage = stage
        self.durationMs = durationMs
        self.cpuMs = cpuMs
        self.maxRssBytes = maxRssBytes
        self.truncated = truncated
    }
}

/// A language as users see it listed.
package struct RuntimeDescription: Sendable, Codable, Hashable {
    package var name: String
    package var title: String
    package var aliases: [String]
    package var extensions: [String]
    package var version: String?  // as the VM's own program says; nil while no VM has been asked
    package var available: Bool?  // nil while no VM has been asked
    package var missing: [String]  // Debian packages that would make it available
    package var example: String?  // a program that greets the world

    package init(
        name: String, title: String, aliases: [String], extensions: [String], version: String? = nil,
        available: Bool? = nil, missing: [String] = [], example: String? = nil
    ) {
        self.name = name
        self.title = title
        self.aliases = aliases
        self.extensions = extensions
        self.version = version
        self.available = available
        self.missing = missing
        self.example = example
    }
}
