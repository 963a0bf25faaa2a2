import ArgumentParser
import Client

struct EnvCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make an environment, and wait until it runs and is set up.",
        discussion: """
            The call is made once however often it has to be sent: it carries a key of its own.

            Examples:
              martlet env create --name web --var STAGE=test --var-file .env
              martlet env create --name ci --repository https://git.example/web.git#main
              martlet env create --name ci --init-script setup.sh
              martlet env create --name small --vcpus 1 --memory 1024 --duration 8 --no-wait
            """)

    @OptionGroup var answer: AnswerOptions
    @OptionGroup var waiting: Waiting

    @Option(help: "What to know it by.")
    var name: String

    @Option(help: "What makes it: one of the server's providers.")
    var provider: String?

    @Option(help: "A kind of machine, of providers that have them.")
    var flavor: String?

    @Option(help: "Where it is to be, of providers that have a choice.")
    var region: String?

    @Option(
        help: ArgumentHelp("A git repository to clone into its home.", valueName: "url[#branch]"))
    var repository: String?

    @OptionGroup var setup: SetupOptions
    @OptionGroup var size: SizeOptions

    private struct Request: Encodable {
        struct Repository: Encodable {
            let url: String
            let branch: String?
        }
        let name: String
        let provider: String?
        let flavor: String?
        let region: String?
        let initScript: String?
        let environmentVars: [String: String]?
        let repository: Repository?
        let durationHours: Int?
        let vcpus: Int?
        let memoryMb: Int?
        let diskMb: Int?
    }

    func run() async throws {
        let parts = repository?.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let request = Request(
            name: name, provider: provider, flavor: flavor, region: region, initScript: try await setup.script(),
            environmentVars: try await setup.variables(),
            repository: parts.map { .init(url: $0[0], branch: $0.count == 2 ? $0[1] : nil) },
            durationHours: setup.duration, vcpus: size.vcpus, memoryMb: size.memory, diskMb: size.disk)
        let isSetUp: @Sendable (JSONValue?) -> Bool =
            if request.repository == nil && request.initScript == nil {
                isIn("running")
            } else {
                { $0?["state"]?.text == "running" && ($0?["initializedAt"] != nil || $0?["errorMessage"] != nil) }
            }
        try await waiting.carryOut(
            answer, .environment, made: { try .environment($0["slug"]?.text ?? "") }, until: isSetUp
        ) { try await $0.create(Resource.environment.path, json: request) }
    }
}

/// What is put into an environment besides its size.
struct SetupOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A variable for all that runs in it; may be given often.", valueName: "name=value"))
    var `var`: [String] = []

    @Option(
        help: ArgumentHelp(
            "A file of lines NAME=VALUE; of two values of one name that of --var counts.", valueName: "file"),
        completion: .file())
    var varFile: String?

    @Option(
        help: ArgumentHelp("A script for bash, run once after the next start; - is standard input.", valueName: "file"),
        completion: .file())
    var initScript: String?

    @Option(help: ArgumentHelp("After how long it is destroyed.", valueName: "hours"))
    var duration: Int?

    func script() async throws -> String? {
        guard let initScript else { return nil }
        return try await readText(initScript)
    }

    /// `nil` if none are given.
    func variables() async throws -> [String: String]? {
        guard varFile != nil || !`var`.isEmpty else { return nil }
        var variables: [String: String] = [:]
        if let varFile {
            let text = try await readText(varFile)
            do throws(VariableFile.Fault) {
                for (name, value) in try VariableFile.parse(text) { variables[name] = value }
            } catch {
                throw ValidationError("'\(varFile)', line \(error.line): \(error.reason).")
            }
        }
        for assignment in `var` {
            guard let (name, value) = VariableFile.parse(assignment: assignment) else {
                throw ValidationError("'--var' is given NAME=VALUE, its name of letters, digits and _.")
            }
            variables[name] = value
        }
        return variables
    }
}
