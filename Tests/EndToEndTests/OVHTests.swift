import EventLoop
import Foundation
import HTTPTransport
import OVHSimulator
import TestSupport
import Testing

/// A simulated OVHcloud with real machines, one a test. Where they cannot be had the tests are left out with a printed
/// reason, and fail in continuous integration.
struct SimulatedOVH: TestTrait, TestScoping {
    @TaskLocal static var current: OVHSimulator?

    func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        let problems = OVHSimulator.problems
        guard problems.isEmpty || ProcessInfo.processInfo.environment["CI"] != nil else {
            return print("skipped: \(test.name), for OVH cannot be simulated here: \(problems)")
        }
        try #require(problems.isEmpty)
        var options = OVHSimulator.Options()
        options.sshPort = 4_624
        options.buildTime = .seconds(1)
        try await OVHSimulator.withRunning(options) { simulator in
            try await Self.$current.withValue(simulator) { try await tests() }
        }
    }
}

/// Gateway and worker, in processes of their own, before VMs that are instances of OVH.
@Suite(.serialized, .timeLimit(.minutes(4))) struct OVHTests {
    @Test(SimulatedOVH()) func aFlavorIsChosenOnThePage() async throws {
        let simulator = try #require(SimulatedOVH.current)
        try await LiveMartlet.withMartlet(environment: simulator.environment) { martlet in
            try await Browser.run("choosing_a_flavor", martlet)
        }
    }

    @Test(SimulatedOVH()) func codeRunsInAnInstanceFromNothingToItsRemoval() async throws {
        let simulator = try #require(SimulatedOVH.current)
        try await LiveMartlet.withMartlet(["--no-worker"], environment: simulator.environment) { martlet in
            try await martlet.withWorker { worker in
                // From nothing: ordered, booted, the runner brought to it.
                let code =
                    "import os, socket\nopen('kept', 'w').write('kept')\n"
                    + "print(socket.gethostname(), os.path.expanduser('~'))"
                let inHome = code.replacing("'kept', 'w'", with: "os.path.expanduser('~/kept'), 'w'")
                let first = try await martlet.execute(try body("python", inHome))
                #expect(first.exit?.exitCode == 0, "\(first.last as Any)")
                #expect(first.stdout.hasPrefix("mlt-") && first.stdout.hasSuffix(" /home/martlet\n"))
                #expect(first.contains { $0.event == "status" && $0.message?.contains("Installing") == true })
                let name = try #require(await simulator.instances().keys.first)
                #expect(first.stdout.hasPrefix(name + " "))

                let warm = try await martlet.execute(try body("bash", "id -un; exit 3"))
                #expect(warm.stdout == "martlet\n" && warm.exit?.exitCode == 3)
                #expect(!warm.contains { $0.message?.contains("Installing") == true })

                // Asleep, and woken by a call.
                try await WakingTests.stop(martlet)
                #expect(await simulator.instances() == [name: ["SHUTOFF"]])
                let woken = try await martlet.execute(try body("bash", "cat ~/kept"))
                #expect(woken.stdout == "kept", "\(woken.last as Any)")
                #expect(await simulator.instances() == [name: ["ACTIVE"]])
                #expect(await simulator.calls("POST /cloud/project/*/instance") == 1)

                // Nobody comes in as root but to install.
                let attempt = "sudo -n true || cat /etc/martlet/runner.json"
                let refused = try await martlet.execute(try body("bash", attempt))
                #expect(refused.exit?.exitCode != 0 && refused.stdout.isEmpty)

                _ = try await martlet.send("DELETE", "/v1/vm")
                try await eventually(
                    within: .seconds(30), describing: "the instance gone", read: { await simulator.instances() },
                    until: \.isEmpty)
                #expect(await simulator.sshKeyNames().isEmpty)
                for secret in [simulator.applicationSecret, simulator.consumerKey, "PRIVATE KEY"] {
                    #expect(!worker.log.contains(secret))
                }
            }
        }
    }

    /// Nobody runs anything before: it is the worker that finds the instance without a runner.
    @Test(SimulatedOVH()) func anInstanceIsSetUpAsItsEnvironmentSays() async throws {
        let simulator = try #require(SimulatedOVH.current)
        try await Self.withRepository { repository, configuration in
            try await LiveMartlet.withMartlet(["--no-worker"], environment: simulator.environment) { martlet in
                try await martlet.withWorker { worker in
                    let request: [String: Any] = [
                        "name": "web", "environmentVars": ["GREETING": "hello", "GIT_CONFIG_GLOBAL": configuration],
                        "initScript": "echo \"$GREETING from $PWD\" >made; cat project/file >>made\n",
                        "repository": ["url": "file://\(repository)"],
                    ]
                    let made = try await martlet.send(
                        "POST", "/v1/environments",
                        json: String(decoding: try JSONSerialization.data(withJSONObject: request), as: UTF8.self))
                    #expect(made.status == 202, "\(String(decoding: made.body, as: UTF8.self))")
                    let slug = try #require(try Self.environment(made)["slug"] as? String)
                    try await eventually(
                        within: .seconds(60), describing: "the setup carried out",
                        read: { try Self.environment(try await martlet.send("GET", "/v1/environments/\(slug)")) },
                        until: { $0["initializedAt"] is String })

                    let run = try await martlet.execute(
                        try body("bash", "cat ~/made; echo \"$GREETING\"", ["environment": slug]))
                    #expect(run.stdout == "hello from /home/martlet\nin the repository\nhello\n", "\(run.last as Any)")
                    #expect(
                        !run.contains { $0.message?.contains("Installing") == true },
                        "the worker has brought the runner")
                    #expect(!worker.log.contains("setup not carried out"))
                }
            }
        }
    }

    @Test(SimulatedOVH()) func flavoursAndRegionsAreThoseOfAllProviders() async throws {
        let simulator = try #require(SimulatedOVH.current)
        let arguments = ["--no-worker", "--provider", "ovh,local"]
        try await LiveMartlet.withMartlet(arguments, environment: simulator.environment) { martlet in
            let batch = "/api/trpc/vm.listFlavors,vm.listRegions,vm.listFlavors?batch=1"
            let answer = try await martlet.send("GET", batch)
            let answers = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [[String: [String: Any]]]
            let data = try #require(answers, "\(answer.text)").map { $0["result"]?["data"] }
            #expect(data[1] as? [String] == ["BHS5", "GRA", "GRA11", "local"])
            let flavors = try #require(data[0] as? [[String: Any]])
            #expect(flavors.suffix(3).map { $0["name"] as? String } == ["free", "pro", "unlimited"])
            #expect(flavors.suffix(3).allSatisfy { $0["type"] as? String == "local" })
            let (first, scarce) = (flavors[0], flavors.first { $0["name"] as? String == "d2-8" })
            #expect(first["name"] as? String == "d2-2" && first["type"] as? String == "ovh")
            #expect(first["region"] as? String == "GRA11" && first["vcpus"] as? Int == 1 && first["ram"] as? Int == 2)
            #expect(first["disk"] as? Int == 25 && first["available"] as? Bool == true)
            #expect(scarce?["available"] as? Bool == false)
            // OVH counts calls: both were answered by one, and the next is by none.
            #expect(try await martlet.send("GET", "/api/trpc/vm.listFlavors").status == 200)
            #expect(await simulator.calls("GET /cloud/project/*/flavor") == 1)

            await simulator.inject(Fault("GET /cloud/project/*/flavor", status: 403))
            try await martlet.withGateway(["--provider", "ovh"]) { gateway in
                let refused = try await martlet.send("GET", "/api/trpc/vm.listFlavors", url: try gateway.url)
                #expect(refused.status == 503 && refused.text.contains("The provider 'ovh' does not say"))
                #expect(!refused.text.contains(simulator.applicationKey))
                #expect(try await martlet.send("GET", "/api/trpc/vm.listFlavors", url: try gateway.url).status == 200)
            }

            await simulator.inject(Fault("GET /cloud/project/*/flavor", status: 403))
            try await martlet.withGateway(["--provider", "ovh,local"]) { gateway in
                let answer = try await martlet.send("GET", "/v1/flavors", url: try gateway.url)
                let offer = try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
                let flavors = try #require(offer["flavors"] as? [[String: Any]])
                #expect(flavors.count == 3 && flavors.allSatisfy { $0["type"] as? String == "local" })
                #expect(offer["regions"] as? [String] == ["local"])
                let gap = try #require((offer["unavailable"] as? [[String: Any]])?.first, "\(answer.text)")
                #expect(gap["provider"] as? String == "ovh")
                #expect((gap["message"] as? String)?.contains("The provider 'ovh' does not say") == true)
                #expect(!answer.text.contains(simulator.applicationKey))
                let rest = try await martlet.send("GET", "/v1/flavors", url: try gateway.url)
                #expect(rest.text.contains(#""unavailable":[]"#) && rest.text.contains("d2-2"), "it is asked again")
            }
        }
    }

    private static func environment(_ response: HTTPResponse) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any]
        return try #require(object?["environment"] as? [String: Any])
    }

    /// Lends a repository where simulated machines see it too, and the path of a configuration with which git trusts
    /// it, whoever's it is.
    private static func withRepository(_ body: (_ path: String, _ configuration: String) async throws -> Void)
        async throws
    {
        let directory = "/srv/martlet-\(UUID())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let script = """
            set -e
            git init -q -b main project.git && cd project.git
            git config user.email t@example.org && git config user.name t
            echo in the repository >file && git add file && git commit -qm one
            git config --file ../gitconfig safe.directory '*'
            """
        var command = ChildProcess.Command("bash", ["-c", script])
        command.workingDirectory = directory
        let ending = try await ChildProcess.start(command).wait()
        #expect(ending.isSuccess, "\(ending)")
        try await body("\(directory)/project.git", "\(directory)/gitconfig")
    }
}
