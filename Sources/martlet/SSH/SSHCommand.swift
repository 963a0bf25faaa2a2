import ArgumentParser
import Client
import Foundation
import Operator

struct SSHCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ssh", abstract: "Log into your VM or an environment with this machine's ssh.",
        discussion: """
            The VM is woken, and stays awake as long as you are in. 'martlet key add' lets your key in. For scp, rsync, \
            editors and a plain 'ssh martlet' see 'martlet ssh-config'.

            Examples:
              martlet ssh
              martlet ssh env_ab12cd34 -- make -C site
              martlet ssh -L 8080:127.0.0.1:8080
            """)

    @OptionGroup var server: ClientOptions
    @Argument(help: ArgumentHelp("The environment, by slug or id; by default your VM.", valueName: "slug"))
    var environment: String?
    @Argument(
        parsing: .postTerminator, help: ArgumentHelp("A command instead of a shell, behind '--'.", valueName: "command")
    )
    var command: [String] = []
    @Option(
        name: .customShort("i"), help: ArgumentHelp("The key to log in with.", valueName: "file"), completion: .file())
    var identity: String?
    @Option(
        name: .customShort("L"), parsing: .singleValue,
        help: ArgumentHelp("Makes a port of the VM's one of this machine, as ssh's own -L does.", valueName: "forward"))
    var forwards: [String] = []
    @Option(
        name: .customShort("o"), parsing: .singleValue,
        help: ArgumentHelp("An option for ssh, as its own -o.", valueName: "option"))
    var options: [String] = []
    @Flag(name: .customShort("t"), help: "A terminal for the command too.") var terminal = false
    @Option(
        help: ArgumentHelp("Be the ProxyCommand of a host: bytes on standard input and output.", valueName: "host"))
    var proxy: String?

    func validate() throws {
        guard proxy == nil || (environment == nil && command.isEmpty) else {
            throw ValidationError("'--proxy' takes the host alone.")
        }
    }

    func run() async throws {
        if let proxy { return try await Proxy(host: proxy, client: try server.client(), url: server.url).run() }
        _ = try server.client()  // says at once if no server is known
        let files = SSHClientFiles(program: Self.program, url: server.url)
        var arguments = ["ssh"] + files.arguments
        if let identity { arguments += ["-i", identity] }
        for forward in forwards { arguments += ["-L", forward] }
        for option in options { arguments += ["-o", option] }
        if terminal { arguments.append("-t") }
        arguments += ["--", SSHClientFiles.host(of: environment)] + command
        throw Self.becoming("ssh", arguments)
    }

    /// This program, for ssh to call.
    static var program: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    }

    /// Replaces this process by another program, which has the terminal and the signals as a shell would give them. Returns
    /// only if that fails.
    private static func becoming(_ program: String, _ arguments: [String]) -> any Error {
        ProcessSetup.restoreSignals()
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        words.append(nil)
        execvp(program, words)
        let code = errno
        for word in words { free(word) }
        return ClientError(
            .refused, code: "no_ssh", message: "'\(program)' cannot be started: \(String(cString: strerror(code))).",
            hint: "Install OpenSSH's client: the Debian package openssh-client.")
    }
}

/// A connection to a VM's SSH server on standard input and output, for `ProxyCommand`.
private struct Proxy {
    let host: String
    let client: APIClient
    let url: String?

    func run() async throws {
        let files = SSHClientFiles(program: SSHCommand.program, url: url)
        let (input, output, host) = (StandardInput(), StandardOutput(), host)
        let isWatched = isatty(2) == 1
        do {
            try await SSHTunnel(client: client, environment: SSHClientFiles.environment(of: host)).run(
                status: { if isWatched { try await printNote($0) } },
                ready: { place in
                    // ssh reads the file when it has the server's first line, which it has not yet.
                    try files.remember(host, hostKey: place.hostKey)
                    if place.keys == 0 {
                        try await printNote("no SSH key of yours is known to the server: 'martlet key add' adds it")
                    }
                },
                input: { try await input.read() }, output: { try await output.write($0, to: .output) })
        } catch is StandardOutput.ReaderGone {}  // ssh has what it wanted
    }
}
