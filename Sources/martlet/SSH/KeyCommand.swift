import ArgumentParser
import Client
import Foundation

struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Add, list and remove the SSH keys that let you into your VMs.",
        discussion: """
            Examples:
              martlet key add                          the first of ~/.ssh/id_*.pub
              martlet key add ~/.ssh/work.pub --name work
              martlet key remove work
            """,
        subcommands: [Add.self, List.self, Remove.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a key into all your VMs.",
            discussion: "Its public half is sent and kept, no more. Ed25519, ECDSA, and RSA from 2048 bits are taken.")
        @OptionGroup var answer: AnswerOptions
        @Argument(
            help: ArgumentHelp(
                "The key's '.pub' file, or - for standard input; by default the first there is of ~/.ssh/id_*.pub.",
                valueName: "file"), completion: .file(extensions: ["pub"]))
        var file: String?
        @Option(help: "To know it by; by default the key's comment.") var name: String?

        private struct Request: Encodable {
            let key: String
            let name: String?
        }

        func run() async throws {
            let key = try await readText(try file ?? Self.standardFile())
            // Said here, so that it does not leave this machine.
            guard !key.contains("PRIVATE KEY") else {
                throw ValidationError("That is a private key, and was not sent. Give the file that ends in '.pub'.")
            }
            let request = Request(key: key.trimmingCharacters(in: .whitespacesAndNewlines), name: name)
            try await answer.show(.sshKey, try await answer.client().create(Resource.sshKey.path, json: request))
        }

        private static func standardFile() throws -> String {
            let home = ProcessInfo.processInfo.environment["HOME"] ?? NSHomeDirectory()
            let files = ["ed25519", "ed25519_sk", "ecdsa", "ecdsa_sk", "rsa"].map { "\(home)/.ssh/id_\($0).pub" }
            guard let found = files.first(where: { FileManager.default.isReadableFile(atPath: $0) }) else {
                throw ValidationError("There is no key in \(home)/.ssh: make one with 'ssh-keygen -t ed25519'.")
            }
            return found
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List your SSH keys.")
        @OptionGroup var list: ListOptions

        func run() async throws {
            try await list.show(
                .sshKey, paging: .whole, whenEmpty: "You have no SSH keys. 'martlet key add' adds yours.")
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a key in no more.",
            discussion: "Connections that are open go on; stopping a VM ends those to it.")
        @OptionGroup var server: ClientOptions
        @Argument(help: "The key's name, fingerprint or id, as 'martlet key list' shows it.") var key: String

        func run() async throws {
            let client = try server.client()
            let keys = try await client.list(
                Resource.sshKey.path, field: Resource.sshKey.many, paging: .whole, limit: 1_000)
            let found = keys.entries.filter { entry in
                ["id", "fingerprint", "name"].contains { entry[$0]?.text == key }
            }
            guard found.count < 2 else {
                throw ValidationError("You have \(found.count) keys called '\(key)': say which by its fingerprint.")
            }
            try await client.call("DELETE", Resource.sshKey.path(of: found.first?["id"]?.text ?? key))
        }
    }
}
