import EventLoop
package import Fleet
import Foundation
package import Logging
import SSH

/// How the setup of an environment went in its machine.
package struct InitializationOutcome: Sendable, Hashable {
    package enum Step: String, Sendable {
        /// The repository is cloned into the home.
        case clone
        /// The init script is run.
        case script
    }

    /// The step that failed, or the last; `nil`: there was nothing to do.
    package let step: Step?
    package let reason: ExitReport.Reason
    package let exitCode: Int?  // nil when a signal ended it
    package let signal: String?
    /// The last 4 KiB that were printed, with the URL's credentials and the variables' values masked.
    package let output: String
    package let durationMs: Int

    package var isSuccess: Bool { reason == .exited && exitCode == 0 }

    package init(
        step: Step?, reason: ExitReport.Reason, exitCode: Int?, signal: String?, output: String, durationMs: Int
    ) {
        self.step = step
        self.reason = reason
        self.exitCode = exitCode
        self.signal = signal
        self.output = output
        self.durationMs = durationMs
    }
}

/// Makes a freshly started machine ready as its environment's setup says: clones the repository, then runs the init
/// script, both as the machine's user, in bash, by its runner. So both are confined as every run is, and nothing of them
/// is left running.
package struct EnvironmentInitializer: Sendable {
    /// For both steps together, once there is a runner.
    package static let limit = Duration.seconds(600)
    package static let outputLimit = 4_096
    private static let printLimit = 64 << 20
    /// How long the runner may take to say what it should, beyond the run's own time.
    private static let grace = Duration.seconds(20)

    private let fleet: Fleet
    private let installer: RunnerInstaller?
    private let logger: Logger
    private let limit: Duration

    /// - Parameter runner: what is installed in VMs that were made without a runner; nil: nothing.
    package init(fleet: Fleet, runner: RunnerFiles? = nil, limit: Duration = limit, logger: Logger) {
        self.fleet = fleet
        self.limit = limit
        installer = runner.map { RunnerInstaller(files: $0, logger: logger) }
        self.logger = logger
    }

    /// Carries out the setup of an environment that runs, and says how that went; it is for the caller to note
    /// (``EnvironmentStore/complete(_:by:errorCode:duration:detail:)``). To do it again is harmless as far as the script is: a
    /// directory that is there is not cloned again.
    ///
    /// Throws if it could not be carried out, or not be followed to its end: `vm_unreachable`, `host_key_mismatch`.
    /// Cancelling it kills what runs.
    package func run(_ environment: Fleet::Environment) async throws -> InitializationOutcome {
        let setup = try await fleet.environments.setup(of: environment.id)
        let steps = Self.steps(of: setup)
        guard !steps.isEmpty else { return Self.nothing }
        do {
            return try await RunnerSession.with(environment, of: fleet, logger: logger) { session in
                try await ensureRunner(of: environment, by: session)
                let deadline = ContinuousClock.now + limit
                var outcome = Self.nothing
                for step in steps {
                    outcome = try await carryOut(step, setup, in: environment, by: session, until: deadline)
                    guard outcome.isSuccess else { break }
                }
                return outcome
            }
        } catch let error where error is SSHError || error is RunnerProtocolError || error is DeadlineExceeded {
            if let error = error as? SSHError, let fault = ServiceError(error, of: environment) { throw fault }
            throw ServiceError(
                .vmUnreachable, "VM '\(environment.slug)' was not made ready: its runner cannot be spoken with.",
                hint: "Stop and start it.", cause: error)
        }
    }

    // MARK: Steps

    private struct Program: Sendable {
        let step: InitializationOutcome.Step
        let code: String
        var files: [RunnerConnection.Request.File] = []
        var variables: [String: String]
    }

    private static let nothing = InitializationOutcome(
        step: nil, reason: .exited, exitCode: 0, signal: nil, output: "", durationMs: 0)

    private static func steps(of setup: EnvironmentSetup) -> [Program] {
        var programs: [Program] = []
        if let repository = setup.repository {
            let own = [
                "MARTLET_CLONE_URL": repository.url, "MARTLET_CLONE_BRANCH": repository.branch ?? "",
                "MARTLET_CLONE_DIRECTORY": repository.directory,
            ]
            programs.append(
                Program(step: .clone, code: cloning, variables: setup.variables.merging(own) { $1 }))
        }
        if let script = setup.initScript {
            let file = RunnerConnection.Request.File(
                path: "init.sh", content: Data(script.utf8).base64EncodedString())
            programs.append(
                Program(
                    step: .script, code: "script=$PWD/init.sh; cd || exit; exec bash \"$script\"\n", files: [file],
                    variables: setup.variables))
        }
        return programs
    }

    /// Clones beside the directory and renames: a clone that was cut off is not taken for a whole one. Nobody is there
    /// to be asked for a password or about a host key.
    private static let cloning = """
        cd || exit
        target=$MARTLET_CLONE_DIRECTORY partial=.martlet-clone-$MARTLET_CLONE_DIRECTORY
        if [ -e "$target" ] || [ -L "$target" ]; then
            echo "~/$target is there already: nothing is cloned."
            exit 0
        fi
        command -v git >/dev/null || { echo "There is no git in the VM." >&2; exit 127; }
        export GIT_TERMINAL_PROMPT=0 GCM_INTERACTIVE=never
        export GIT_SSH_COMMAND=${GIT_SSH_COMMAND:-ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new}
        rm -rf -- "$partial"
        git clone --quiet ${MARTLET_CLONE_BRANCH:+--branch "$MARTLET_CLONE_BRANCH"} -- "$MARTLET_CLONE_URL" "$partial" ||
            { code=$?; rm -rf -- "$partial"; exit $code; }
        mv -T -- "$partial" "$target" && echo "Cloned into ~/$target."

        """

    // MARK: Running

    /// Asked beforehand, so that bringing the runner takes nothing of the steps' time and no step is ever begun twice.
    /// Where nothing can be brought the first step finds out by itself.
    private func ensureRunner(of environment: Fleet::Environment, by session: VMSession) async throws {
        guard let installer else { return }
        let limit = RunnerInstaller.limit + Self.grace
        _ = try await withDeadline(limit, "answer of the runner, or its installation") {
            try await RunnerInstaller.with(installer, in: environment, by: session) {
                try await RunnerConnection.ask("ping", of: $0) as RunnerProbe.Answer
            }
        }
    }

    private func carryOut(
        _ program: Program, _ setup: EnvironmentSetup, in environment: Fleet::Environment, by session: VMSession,
        until deadline: ContinuousClock.Instant
    ) async throws -> InitializationOutcome {
        let left = max(.milliseconds(1), deadline - .now)
        let timeoutMs = max(1, Int(left / .milliseconds(1)))
        let request = RunnerConnection.Request(
            secret: session.connection.runnerSecret, id: "init-\(program.step.rawValue)", language: "bash",
            code: program.code, codeEncoding: "utf8", args: [], env: program.variables, files: program.files,
            timeoutMs: timeoutMs,
            limits: RunnerConnection.Request.Limits(
                memoryMb: environment.memoryMb, cpuMs: timeoutMs * environment.vcpus, outputBytes: Self.printLimit,
                processes: environment.processes), network: environment.network ? .any : nil)
        let tail = OutputTail(limit: Self.outputLimit, masking: Self.secrets(of: setup))
        return try await withDeadline(left + Self.grace, "end of the step '\(program.step.rawValue)'") {
            try await Self.converse(request, program.step, tail, by: session)
        }
    }

    private static func converse(
        _ request: RunnerConnection.Request, _ step: InitializationOutcome.Step, _ kept: OutputTail,
        by session: VMSession
    ) async throws -> InitializationOutcome {
        var tail = kept
        var report: ExitReport?
        let runner = try await RunnerConnection.open(
            request, port: session.connection.runnerPort, on: session.ssh)
        defer { runner.abandon() }
        try await runner.endInput()
        try await runner.receiveEach { message in
            switch message {
            case .output(_, let bytes): tail.append(bytes)
            case .exit(let exit): report = exit
            case .refused(let code, let message):
                throw RunnerProtocolError(description: "the step '\(step.rawValue)' was refused, \(code): \(message)")
            case .started(.isolated) where request.network != nil:
                tail.append(Array("This VM was started without a way to the internet: there is no network.\n".utf8))
            case .started, .stdinCredit: break
            }
        }
        guard let report else { throw RunnerProtocolError(description: "the runner said nothing of the end") }
        return InitializationOutcome(
            step: step, reason: report.reason, exitCode: report.exitCode, signal: report.signal, output: tail.text,
            durationMs: Int(report.durationMs))
    }

    // MARK: Secrets

    /// What must not be shown of what is printed. Values and parts that are shorter than this would be found in half of
    /// all words, and are no secrets.
    private static let leastSecret = (value: 8, part: 4)

    static func secrets(of setup: EnvironmentSetup) -> Set<String> {
        var secrets: Set<String> = []
        for value in setup.variables.values {
            let lines = value.split(whereSeparator: \.isNewline).map(String.init)
            secrets.formUnion(([value] + lines).filter { $0.utf8.count >= leastSecret.value })
        }
        guard let url = setup.repository?.url, let scheme = url.firstRange(of: "://") else { return secrets }
        // As written and as decoded: git shows the one, its helpers the other.
        func add(_ part: Substring) {
            for text in [String(part), String(part).removingPercentEncoding ?? ""]
            where text.utf8.count >= leastSecret.part { secrets.insert(text) }
        }
        let authority = url[scheme.upperBound...].prefix { !"/?#".contains($0) }
        if let at = authority.lastIndex(of: "@") {
            let login = authority[..<at]
            secrets.insert("\(login)@")
            let parts = login.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            // Over SSH the user is no secret.
            if url.hasPrefix("https") { add(parts[0]) }
            if parts.count > 1 { add(parts[1]) }
        }
        if let query = url.firstIndex(of: "?") { add(url[query...].dropFirst()) }
        return secrets
    }
}
