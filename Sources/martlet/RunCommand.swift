import ArgumentParser
import Client
import Foundation
import UnixSignals

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a program in your VM or an environment; its output appears as it is printed.",
        discussion: """
            The language is told by the file's extension, or by --language. Standard input is passed on when it is \
            not a terminal. Ctrl-C cancels the run, a second one leaves at once.

            Examples:
              martlet run hello.py
              echo 'print(6 * 7)' | martlet run -l python -
              martlet run --environment env_ab12cd34 --env STAGE=test build.sh -- --fast

            Exit codes: the program's own; 128+n if signal n ended it; 124 out of time; 137 out of memory; 125 \
            another limit reached; 130 cancelled; 2 wrong usage; 120 no server answers; 121 not allowed; 122 request \
            refused; 123 server failed or the run was lost.
            """)

    @OptionGroup var server: ClientOptions

    @Argument(help: "The program, or - to read it from standard input.", completion: .file())
    var file: String

    @Argument(parsing: .remaining, help: "What the program is given; after -- also words that begin with a dash.")
    var arguments: [String] = []

    @Option(name: .shortAndLong, help: "The language: see 'martlet runtimes'.")
    var language: String?

    @Option(help: ArgumentHelp("The environment it runs in, by slug or id; by default your VM.", valueName: "slug"))
    var environment: String?

    @Option(help: "Longest time it may take, for example 500ms, 10s, 2m.")
    var timeout: TimeSpan?

    @Option(help: ArgumentHelp("An environment variable for it; may be given often.", valueName: "name=value"))
    var env: [String] = []

    @Option(
        name: .customLong("file"),
        help: ArgumentHelp("A file to lay beside it; may be given often.", valueName: "[name=]path"),
        completion: .file())
    var attachments: [String] = []

    @Option(help: ArgumentHelp("Most memory.", valueName: "MB"))
    var memory: Int?

    @Option(help: ArgumentHelp("Most CPU time over all its processes.", valueName: "time"))
    var cpu: TimeSpan?

    @Option(help: ArgumentHelp("Most processes.", valueName: "n"))
    var processes: Int?

    @Option(help: ArgumentHelp("Most output.", valueName: "bytes"))
    var outputLimit: Int?

    @Option(help: ArgumentHelp("What it reaches: 'none', or 'egress', the internet.", valueName: "none|egress"))
    var network: Network?

    @Flag(inversion: .prefixedNo, help: "Pass standard input on; by default when it is not a terminal.")
    var stdin: Bool?

    @Flag(help: "Print events, one JSON object a line: the server's, and last an 'exit' or an 'error'.")
    var json = false

    @Flag(name: .shortAndLong, help: "Say nothing but what the program prints.")
    var quiet = false

    enum Network: String, ExpressibleByArgument { case none, egress }

    private var readsCodeFromInput: Bool { file == "-" }

    func validate() throws {
        if readsCodeFromInput, stdin == true {
            throw ValidationError("Standard input cannot be both the program and its input.")
        }
        if readsCodeFromInput, language == nil {
            throw ValidationError("Say the language of a program from standard input with -l.")
        }
    }

    func run() async throws {
        let program: ProgramRun
        do {
            program = try await prepared()
        } catch let error as ClientError where json {
            try await printEvent(error)
            throw error
        } catch let error as ValidationError where json {
            try await printEvent(
                ClientError(.failed, code: "wrong_usage", message: error.message, hint: "See 'martlet run --help'."))
            throw error
        }
        let status = try await withInterrupts { try await program.run(interrupts: $0) }
        throw ExitCode(status)
    }

    private func printEvent(_ error: ClientError) async throws {
        try await StandardOutput().write(error.eventLine + [UInt8(ascii: "\n")], to: .output)
    }

    private func prepared() async throws -> ProgramRun {
        let client = try server.client()
        let code = try await readCode()
        var request = RunRequest(language: try await chosenLanguage(client), code: code)
        request.args = arguments
        request.env = try variables()
        request.files = try attachments.map(attachment)
        request.environment = environment
        request.network = network?.rawValue
        request.timeoutMs = timeout?.milliseconds
        request.limits.memoryMb = memory
        request.limits.cpuMs = cpu?.milliseconds
        request.limits.processes = processes
        request.limits.outputBytes = outputLimit
        return ProgramRun(
            request, client: client,
            passesInput: !readsCodeFromInput && (stdin ?? !StandardInput.isTerminal), printsEvents: json,
            isQuiet: quiet)
    }

    private func readCode() async throws -> [UInt8] {
        do {
            if readsCodeFromInput { return try await StandardInput().readAll(limit: 16 << 20) }
            return Array(try FileHandle(forReadingFrom: URL(filePath: file)).readToEnd() ?? Data())
        } catch {
            throw ValidationError("Cannot read '\(file)': \(error.localizedDescription)")
        }
    }

    private func chosenLanguage(_ client: APIClient) async throws -> String {
        if let language { return language }
        let suffix = (file as NSString).pathExtension.lowercased()
        let languages = try await client.languages()
        guard let found = languages.first(where: { $0.extensions.contains(suffix) }) else {
            let known = languages.flatMap(\.extensions).map { ".\($0)" }.joined(separator: " ")
            throw ValidationError("No language is known by the name of '\(file)'; say it with -l. Known: \(known)")
        }
        return found.name
    }

    private func variables() throws -> [String: String] {
        var variables: [String: String] = [:]
        for assignment in env {
            guard let separator = assignment.firstIndex(of: "="), separator != assignment.startIndex else {
                throw ValidationError("'\(assignment.prefix(40))' is not of the form NAME=VALUE.")
            }
            variables[String(assignment[..<separator])] = String(assignment[assignment.index(after: separator)...])
        }
        return variables
    }

    private func attachment(_ text: String) throws -> RunRequest.File {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        let path = parts.last ?? text
        guard let data = try? Data(contentsOf: URL(filePath: path)) else {
            throw ValidationError("Cannot read '\(path)'.")
        }
        return RunRequest.File(
            path: parts.count == 2 ? parts[0] : (path as NSString).lastPathComponent, bytes: Array(data))
    }
}

/// Within which signals are one request: Vim signals a job's process and its group, and wrappers pass on what the
/// terminal has sent to all of its group. No user is as fast.
private let echo = Duration.milliseconds(100)

/// Lends the interrupts of the user (SIGINT, SIGTERM) as a sequence of signal numbers. The second ends this process
/// at once: whatever it waits for, the user has waited enough.
func withInterrupts<Result: Sendable>(
    _ body: @escaping @Sendable (AsyncStream<Int32>) async throws -> Result
) async throws -> Result {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    let (interrupts, interrupt) = AsyncStream<Int32>.makeStream(bufferingPolicy: .bufferingNewest(1))
    return try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body(interrupts) }
        group.addTask {
            var first: ContinuousClock.Instant?
            for await signal in signals {
                if let first {
                    guard first.duration(to: .now) < echo else { _exit(128 + signal.rawValue) }
                } else {
                    first = .now
                    interrupt.yield(signal.rawValue)
                }
            }
            return nil
        }
        defer { group.cancelAll() }
        while let result = try await group.next() {
            if let result { return result }
        }
        throw CancellationError()
    }
}
