import ArgumentParser
import Client

struct EnvUpdateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "update", abstract: "Change an environment; what is left out stays.",
        discussion: """
            Variables are replaced as a whole, for runs that begin from now on. A new init script runs after the next \
            start. A duration counts from now.

            Examples:
              martlet env update env_ab12cd34 --name web2 --duration 24
              martlet env update env_ab12cd34 --no-vars --no-duration
            """)

    @OptionGroup var environment: OneOptions
    @Option(help: "What to know it by.") var name: String?
    @OptionGroup var setup: SetupOptions
    @Flag(help: "Take all variables away.") var noVars = false
    @Flag(help: "Take the init script away.") var noInitScript = false
    @Flag(help: "Let it be there until it is destroyed.") var noDuration = false

    func validate() throws {
        let conflicts = [
            (noVars, setup.varFile != nil || !setup.var.isEmpty, "vars"),
            (noInitScript, setup.initScript != nil, "init-script"), (noDuration, setup.duration != nil, "duration"),
        ]
        for (takesAway, sets, what) in conflicts where takesAway && sets {
            throw ValidationError("'--no-\(what)' contradicts what else is given.")
        }
    }

    func run() async throws {
        var change: [String: JSONValue] = [:]
        if let name { change["name"] = .string(name) }
        if let script = try await setup.script() { change["initScript"] = .string(script) }
        if let variables = try await setup.variables() {
            change["environmentVars"] = .object(variables.mapValues { .string($0) })
        }
        if let hours = setup.duration { change["durationHours"] = .integer(hours) }
        if noVars { change["environmentVars"] = .null }
        if noInitScript { change["initScript"] = .null }
        if noDuration { change["durationHours"] = .null }
        try await environment.change(.environment, change)
    }
}
