import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// The server against its own description: Schemathesis sends what `/openapi.json` admits, what it does not, what no
/// client should, and sequences of all that, and compares every answer with what the document says of it.
///
/// It calls a server of its own, what is for everybody with a token that cannot administer, and may do what it likes.
@Suite(.timeLimit(.minutes(10))) struct DescriptionTests {
    @Test func theServerIsAsItIsDescribed() async throws {
        let program = try await Schemathesis.program()
        try await LiveMartlet.withMartlet(environment: ["MARTLET_RATE_LIMITS": "off"]) { martlet in
            let token = try await martlet.run(["token", "create", "schemathesis"]).text.filter { !$0.isWhitespace }
            #expect(token.hasPrefix("mlt_"))
            let admin = try await martlet.run(["token", "create", "--admin", "schemathesis"]).text
                .filter { !$0.isWhitespace }
            // By themselves and not in a sequence: a token that revokes itself has nothing more to say.
            try await Schemathesis.run(
                program, martlet, token, seconds: 50,
                ["--exclude-operation-id", "revokeToken", "--exclude-operation-id-regex", "^admin"])
            try await Schemathesis.run(
                program, martlet, admin, seconds: 30,
                ["--include-operation-id-regex", "^admin", "--exclude-operation-id", "adminRevokeToken"])
            for revocation in ["revokeToken", "adminRevokeToken"] {
                try await Schemathesis.run(
                    program, martlet, revocation == "revokeToken" ? token : admin, seconds: 10,
                    ["--include-operation-id", revocation])
            }
            // What was answered was answered to a token that is still good, by a server that is still well.
            #expect(try await martlet.send("GET", "/v1/tokens", token: token).status == 200)
            #expect(try await martlet.send("GET", "/readyz", token: "").status == 200)
        }
    }
}

private enum Schemathesis {
    private static let root = (#filePath as NSString).deletingLastPathComponent + "/../.."

    /// Where it is; made first where it is not, in half a minute. Cancels the test if it cannot be, and fails it in CI.
    static func program() async throws -> String {
        let output = try await ChildProcess.run(
            ChildProcess.Command("\(root)/.ci/schemathesis"), deadline: .seconds(300))
        guard !output.ending.isSuccess else { return "\(root)/.build/schemathesis/environment/bin/schemathesis" }
        let reason = NeverHappened(
            awaited: ".ci/schemathesis", limit: .seconds(300),
            lastSeen: "\(output.ending): \(output.errorText.suffix(500))")
        if ProcessInfo.processInfo.environment["CI"] == "true" { throw reason }
        try Test.cancel("\(reason)")
    }

    /// What a document cannot say. Of valid requests: that the language or the provider is one there is, that what is
    /// asked for is within the tier, that no file is named twice and no key used for two requests, that the machine was
    /// not destroyed; of files, that the path is one that a file can have, one thing is asked for and a range is within;
    /// they are refused with 422, 410, 412 or 416. Of a key, that it is one (422); of a WebSocket, all (426). Of machines:
    /// that they are destroyed by a job, some time after it was asked for, and that what was done to them is kept (so
    /// `use_after_free` is left out).
    private static let configuration = """
        [[operations]]
        include-operation-id-regex = "^(openSSH|addSSHKey|createTerminal|useTerminal|execute|executeInEnvironment|createEnvironment|createToken|createVM|admin.*|(read|write|change|remove)File)$"
        checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 410, 412, 416, 422, 426, 429, "5xx"]
        """

    static func run(
        _ program: String, _ martlet: LiveMartlet, _ token: String, seconds: Int, _ arguments: [String]
    ) async throws {
        let path = try martlet.file("schemathesis.toml", configuration)
        var command = ChildProcess.Command(
            program,
            [
                "--config-file", path, "run", "\(try martlet.url)/openapi.json", "-H", "Authorization: Bearer \(token)",
                "--checks", "all", "--exclude-checks", "use_after_free", "--max-examples", "20", "--max-time",
                "\(seconds)", "--request-timeout", "4",
                "--continue-on-failure", "--no-color", "--generation-database", "none", "--seed", "3",
            ] + arguments)
        command.workingDirectory = martlet.directory  // where it leaves what it remembers
        command.environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": martlet.directory,
            "LC_ALL": "C.UTF-8",
        ]
        let output = try await ChildProcess.run(command, deadline: .seconds(300), limit: 16 << 20)
        #expect(output.ending == .exited(0), "\(output.text)\n\(output.errorText)")
        // An operation that only meets a full quota is warned of as well, by its 403.
        #expect(!output.text.contains("401 Unauthorized ("), "\(output.text)")
        let summary = output.text.split(separator: "\n").last { $0.contains("generated") }
        print("schemathesis: \(summary.map { $0.trimmingCharacters(in: .whitespaces) } ?? "no summary")")
    }
}
