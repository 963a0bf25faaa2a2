import ArgumentParser
import Client
import Foundation
import Operator
import Providers

/// The command line. Each command is in a file of its own; what they share is in `ClientOptions` and `ServerOptions`.
@main
struct Martlet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Runs people's code over HTTP, in VMs that sleep and wake on demand.",
        discussion: """
            Start everything on this machine with 'martlet up', then try 'martlet run hello.py'.

            Exit codes: 0 done, 1 failed, 2 wrong usage, 3 'up' is running already, 120 no server answers, \
            121 not allowed, 122 request refused, 123 server failed. 'run' exits as the program did \
            ('martlet run --help').
            """,
        version: "martlet \(version)",
        groupedSubcommands: [
            CommandGroup(
                name: "Client",
                subcommands: [
                    RunCommand.self, CopyCommand.self, SSHCommand.self, SSHConfigCommand.self, KeyCommand.self,
                    VMCommand.self, EnvCommand.self, QuotaCommand.self,
                    TokenCommand.self,
                    RuntimesCommand.self, EditorCommand.self, AdminCommand.self,
                ]),
            CommandGroup(
                name: "Server",
                subcommands: [
                    UpCommand.self, GatewayCommand.self, WorkerCommand.self, MigrateCommand.self, DoctorCommand.self,
                    ImageCommand.self, DevCommand.self,
                ]),
        ])

    static let version = "0.1.0"

    static func main() async {
        ProcessSetup.secureStandardStreams()
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            leave(because: error)
        }
    }

    /// Says what went wrong on standard error and exits with the documented code.
    private static func leave(because error: any Error) -> Never {
        switch error {
        case let error as ClientError:
            say(error.message, hint: error.hint, detail: error.detail)
            Foundation.exit(error.kind.exitCode)
        case let error as OperatorError:
            say(error.message, hint: error.hint)
            Foundation.exit(error.code == .alreadyRunning ? 3 : 1)
        case let error as ProviderError:
            say(error.message, hint: error.hint)
            Foundation.exit(1)
        case let error as ValidationError:  // of a command under way: parsing has its own words, with the usage
            say(error.message, hint: "")
            Foundation.exit(2)
        case is StandardOutput.ReaderGone:
            Foundation.exit(128 + SIGPIPE)
        default:
            let code = exitCode(for: error)
            let message = fullMessage(for: error)
            if !message.isEmpty {
                let stream = code == .success ? FileHandle.standardOutput : FileHandle.standardError
                stream.write(Data("\(message)\n".utf8))
            }
            Foundation.exit(code == .validationFailure ? 2 : code.rawValue)
        }
    }

    private static func say(_ message: String, hint: String, detail: String? = nil) {
        let lines = ["martlet: \(message)", hint, detail ?? ""].filter { !$0.isEmpty }
        FileHandle.standardError.write(Data((lines.joined(separator: "\n  ") + "\n").utf8))
    }
}
