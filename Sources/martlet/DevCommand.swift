import ArgumentParser
import Foundation
import Logging
import OVHSimulator
import Operator
import UnixSignals

struct DevCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev", abstract: "Tools for those who work on Martlet or try it out.",
        subcommands: [OVHSimulatorCommand.self])
}

struct OVHSimulatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ovh-simulator",
        abstract: "Pretend to be OVHcloud, for trying provider 'ovh' without an account.",
        discussion: """
            Answers the calls that make, start, stop and delete Public Cloud instances, on a port of this machine, and \
            checks keys and signatures as OVH does. An instance is a set of namespaces over this machine's own files, \
            with an SSH server at an address of its own in 127.0.0.0/8, and boots with its user data. It is no wall: \
            what runs in it sees this machine's files as far as an ordinary user may. Needs root.

            Prints the variables to export; start 'martlet up' in a shell that has them. Everything is gone when it ends.

            Failures on demand, for example an order whose answer is lost, or an instance that is never ready:
              curl -d '{"route": "POST /cloud/project/*/instance", "drop": "after"}' URL/simulator/faults
              curl -d '{"route": "POST /cloud/project/*/instance", "build": "stuck"}' URL/simulator/faults
            Also "status", "errorCode", "retryAfter" (seconds), "delayMs", "count", "skip". DELETE takes them back, GET \
            URL/simulator/history lists the calls that came in.
            """)

    @Option(help: ArgumentHelp("The port of the API, 0 for any free one.", valueName: "port"))
    var port = 4_620

    @Option(help: ArgumentHelp("The port of the instances' SSH servers.", valueName: "port"))
    var sshPort = 2_222

    @Option(help: ArgumentHelp("How long an instance is in BUILD.", valueName: "seconds"))
    var buildTime = 2.0

    func run() async throws {
        guard OVHSimulator.problems.isEmpty else {
            throw OperatorError(
                .providerUnusable, "Instances cannot be simulated here.",
                hint: OVHSimulator.problems.joined(separator: "\n  "))
        }
        var options = OVHSimulator.Options()
        options.port = port
        options.sshPort = sshPort
        options.buildTime = .milliseconds(Int(max(0, buildTime) * 1_000))
        options.logger = Logger(label: "martlet.ovh-simulator")
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        try await OVHSimulator.withRunning(options) { simulator in
            let lines = simulator.environment.sorted { $0.key < $1.key }.map { "export \($0.key)=\($0.value)\n" }
            try await printLine(lines.joined() + "# A pretended OVHcloud; Ctrl-C ends it, with its instances.")
            for await _ in signals { return }
        }
    }
}
