import ArgumentParser
import Client
import Foundation

struct SSHConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ssh-config",
        abstract: "Print or install what ssh, scp, rsync and editors need to know of your VMs.",
        discussion: """
            Your VM is the host 'martlet', an environment 'martlet-SLUG'. Host keys are known beforehand and checked; the \
            VMs' ports stay private.

            Examples:
              martlet ssh-config --write
              ssh martlet
              rsync -a site/ martlet:site/
              scp martlet-env_ab12cd34:out.csv .
            """)

    @OptionGroup var server: ClientOptions
    @Flag(help: "Write it beside the credentials, and have ~/.ssh/config include it.") var write = false

    func run() async throws {
        let client = try server.client()
        let answer = try await client.call("GET", "/v1/ssh/hosts").decoded(as: JSONValue.self)
        let files = SSHClientFiles(program: SSHCommand.program, url: server.url)
        var slugs: [String] = []
        for host in answer["hosts"]?.values ?? [] {
            guard let slug = host["slug"]?.text, let key = host["hostKey"]?.text else { continue }
            if host["isOwnVM"] == .bool(true) { try files.remember(SSHClientFiles.ownVM, hostKey: key) }
            try files.remember(SSHClientFiles.host(of: slug), hostKey: key)
            slugs.append(slug)
        }
        guard write else {
            return try await StandardOutput().write(Array(files.text(environments: slugs).utf8), to: .output)
        }
        let home = ProcessInfo.processInfo.environment["HOME"] ?? NSHomeDirectory()
        let isNew = try files.install(environments: slugs, into: "\(home)/.ssh/config")
        try await printNote(
            isNew ? "\(home)/.ssh/config includes \(files.configuration) now" : "\(files.configuration) is up to date")
    }
}
