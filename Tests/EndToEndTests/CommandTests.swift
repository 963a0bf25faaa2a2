import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// The client commands, as a person at a terminal meets them.
@Suite(SharedMartlet()) struct CommandTests {
    @Test func runGivesTheStreamsAndTheExitCode() async throws {
        let martlet = try shared()
        let path = try martlet.file("exit3.py", "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)")
        let result = try await martlet.run(["run", path])
        #expect(result.ending == .exited(3))
        #expect(result.text == "out\n")
        #expect(result.errorText.contains("err\n"))
    }

    @Test func runPassesStdinArgumentsAndBytes() async throws {
        let martlet = try shared()
        let path = try martlet.file(
            "cat.py", "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())\nprint(sys.argv[1:])")
        let input = Array(UInt8.min...UInt8.max) + Array(repeating: 7, count: 300_000)
        let result = try await martlet.run(["run", path, "--", "a", "-b"], input: input)
        let isRight = result.output == input + Array("['a', '-b']\n".utf8)  // not in #expect: it would print all of it
        #expect(isRight)
        #expect(result.ending == .exited(0))
    }

    @Test func jsonIsTheEventStream() async throws {
        let martlet = try shared()
        let path = try martlet.file("one.py", "print(1)")
        let result = try await martlet.run(["run", "--json", path])
        let events = try result.text.split(separator: "\n").map {
            try JSONDecoder().decode(MartletEvent.self, from: Data($0.utf8))
        }
        #expect(events.stdout == "1\n")
        #expect(events.exit?.exitCode == 0)
    }

    @Test func everyCommandHasHelp() async throws {
        let martlet = try shared()
        for command in [
            ["up"], ["gateway"], ["worker"], ["migrate"], ["doctor"], ["run"], ["vm"], ["vm", "status"],
            ["vm", "start"], ["vm", "stop"], ["vm", "destroy"], ["vm", "logs"], ["token"], ["token", "create"],
            ["token", "list"], ["token", "revoke"], ["runtimes"], ["quota"],
            ["env"], ["env", "list"], ["env", "create"], ["env", "show"], ["env", "update"], ["env", "start"],
            ["env", "stop"], ["env", "recover"], ["env", "destroy"], ["env", "audit"], ["env", "logs"], ["dev"],
            ["dev", "ovh-simulator"],
        ] + Self.adminCommands {
            let result = try await martlet.run(command + ["--help"])
            #expect(result.ending == .exited(0), "\(command)")
            #expect(result.text.contains("USAGE: martlet \(command.joined(separator: " "))"), "\(command)")
        }
    }

    private static let adminCommands =
        [
            ["admin"], ["admin", "stats"], ["admin", "audit"], ["admin", "users", "quota"],
            ["admin", "users", "token"],
        ]
        + [
            "users": "list create show update suspend resume",
            "vms": "list show start stop recover reconcile destroy why timeline logs unknown",
            "hosts": "list add show cordon uncordon drain maintenance remove",
            "queues": "list show pause resume drain", "jobs": "list show retry promote discard",
        ].flatMap { group, verbs in
            [["admin", group]] + verbs.split(separator: " ").map { ["admin", group, String($0)] }
        }

    @Test func aTokenWorksUntilItIsRevoked() async throws {
        let martlet = try shared()
        let made = try await martlet.run(["token", "create", "ci", "--json"])
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(made.output)) as? [String: Any], "\(made.errorText)")
        let token = try #require(object["token"] as? String)
        let id = try #require(object["id"] as? String)
        #expect(token.hasPrefix("mlt_"))
        #expect(try await martlet.send("GET", "/v1/runtimes", token: token).status == 200)
        #expect(try await martlet.run(["token", "revoke", id]).ending == .exited(0))
        #expect(try await martlet.send("GET", "/v1/runtimes", token: token).status == 401)
        #expect(try await martlet.run(["token", "list"]).text.contains(id.prefix(8)))
    }

    @Test func doctorFindsAHealthyHouse() async throws {
        let martlet = try shared()
        _ = try await martlet.execute(try body("python", "print(1)"))
        let result = try await martlet.run(["doctor", "--data-dir", martlet.dataDirectory])
        #expect(result.ending == .exited(0), "\(result.text) \(result.errorText)")
    }

    @Test func credentialsAreKeptPrivate() throws {
        let path = "\(try shared().configurationDirectory)/credentials.json"
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }
}
