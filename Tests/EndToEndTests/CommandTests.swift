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

    @Test(arguments: [
        (["-l", "python"], ["MARTLET_URL": "http://127.0.0.1:1"], "http_connect_failed", 120),
        (["-l", "python"], ["MARTLET_TOKEN": "mlt_wrong"], "unauthenticated", 121),
        (["-l", "klingon"], [:], "unknown_language", 122),
        (["-l", "python", "--environment", "env_nothere"], [:], "environment_not_found", 122),
        (["--file", "/nowhere/data.csv"], [:], "wrong_usage", 2),
    ])
    func jsonSaysWhyThereWasNoRun(
        options: [String], variables: [String: String], code: String, exitCode: Int32
    ) async throws {
        let martlet = try shared()
        let path = try martlet.file("never-\(code).py", "print(1)")
        let result = try await martlet.run(["run", "--json"] + options + [path], variables: variables)
        #expect(result.ending == .exited(exitCode))
        let events = try Self.objects(in: result.text)
        #expect(events.count == 1)
        #expect(events.first?["event"] as? String == "error")
        #expect(events.first?["code"] as? String == code)
        #expect((events.first?["message"] as? String)?.isEmpty == false)
        #expect((events.first?["hint"] as? String)?.isEmpty == false)
    }

    /// A server that begins and goes away, as one that is killed does.
    @Test func jsonEndsWithAnErrorWhereTheStreamWasCut() async throws {
        let martlet = try shared()
        let behaviour = LoopbackServer.Behaviour.answer { _ in
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
                + #"{"event":"started","executionId":"e1"}"# + "\n"
                + #"{"event":"stdout","seq":1,"data":"half"}"# + "\n"
        }
        try await LoopbackServer.with(behaviour) { server in
            let path = try martlet.file("cut.py", "print(1)")
            let result = try await martlet.run(
                ["run", "--json", "-l", "python", "--no-stdin", path],
                variables: ["MARTLET_URL": "http://127.0.0.1:\(server.port)"])
            let events = try Self.objects(in: result.text)
            #expect(events.compactMap { $0["event"] as? String } == ["started", "stdout", "error"])
            #expect(events.last?["code"] as? String == "stream_cut")
            #expect(result.ending == .exited(123))
        }
    }

    /// The server has taken the request and still wakes the VM, say.
    @Test func jsonEndsWithAnErrorWhereItIsCancelledBeforeItBegan() async throws {
        let martlet = try shared()
        try await LoopbackServer.with(.silence) { server in
            let path = try martlet.file("waits.py", "print(1)")
            let output = "\(martlet.directory)/waits.jsonl"
            var command = martlet.command(["run", "--json", "-l", "python", "--no-stdin", path])
            command.environment?["MARTLET_URL"] = "http://127.0.0.1:\(server.port)"
            command.output = .appending(path: output)
            let child = try await ChildProcess.start(command)
            try await eventually(describing: "the request is there") { await server.openConnections == 1 }
            await child.send(.interrupt)
            let ending = try await withDeadline(.seconds(20), "the end of the command") { try await child.wait() }
            #expect(ending == .exited(130))
            let events = try Self.objects(in: try String(contentsOfFile: output, encoding: .utf8))
            #expect(events.compactMap { $0["code"] as? String } == ["cancelled"])
        }
    }

    private static func objects(in lines: String) throws -> [[String: Any]] {
        try lines.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
        }
    }

    @Test func everyCommandHasHelp() async throws {
        let martlet = try shared()
        for command in [
            ["up"], ["gateway"], ["worker"], ["migrate"], ["doctor"], ["run"], ["vm"], ["vm", "status"],
            ["vm", "start"], ["vm", "stop"], ["vm", "destroy"], ["vm", "logs"], ["token"], ["token", "create"],
            ["token", "list"], ["token", "revoke"], ["runtimes"], ["quota"],
            ["env"], ["env", "list"], ["env", "create"], ["env", "show"], ["env", "update"], ["env", "start"],
            ["env", "stop"], ["env", "recover"], ["env", "destroy"], ["env", "audit"], ["env", "logs"], ["dev"],
            ["editor"], ["editor", "install"], ["editor", "path"],
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

    @Test(.enabled(if: getuid() == 0, "programs are hidden by mounts"))
    func doctorNamesThePackagesOfWhatIsMissing() async throws {
        let martlet = try shared()
        let hide = """
            mount --bind /dev/null /usr/bin/setpriv
            mount -t tmpfs none /usr/share/javascript
            exec "$@"
            """
        let doctor = martlet.command(["doctor", "--data-dir", martlet.dataDirectory])
        var command = ChildProcess.Command(
            "unshare", ["--mount", "sh", "-ec", hide, "sh", doctor.executable] + doctor.arguments)
        command.environment = doctor.environment
        let result = try await ChildProcess.run(command, deadline: .seconds(120), limit: 1 << 20)
        #expect(result.ending == .exited(1), "\(result.text) \(result.errorText)")
        #expect(result.text.contains("missing: setpriv") && result.text.contains("apt-get install util-linux"))
        #expect(result.text.contains("apt-get install libjs-codemirror libjs-xterm, and start Martlet again"))
    }

    @Test func credentialsAreKeptPrivate() throws {
        let path = "\(try shared().configurationDirectory)/credentials.json"
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }
}
