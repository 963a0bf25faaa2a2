import EventLoop
import Foundation
import OVHSimulator
import TestSupport
import Testing

/// OVH's own client for Python, installed once into `.build/ovh-client`. Where it cannot be, the tests are left out with
/// a printed reason, and fail in continuous integration.
struct OfficialOVHClient: SuiteTrait, TestScoping {
    @TaskLocal static var python = ""

    func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        let directory = LocalHost.repository + "/.build/ovh-client"
        let python = directory + "/bin/python"
        do {
            if try await !Self.run(python, ["-c", "import ovh"]).isSuccess {
                _ = try await Self.run("python3", ["-m", "venv", directory])
                let ending = try await Self.run(python, ["-m", "pip", "install", "--quiet", "ovh==1.2.0"])
                try #require(ending.isSuccess, "pip install ovh==1.2.0 into \(directory) \(ending)")
            }
        } catch {
            guard ProcessInfo.processInfo.environment["CI"] == nil else { throw error }
            return print("skipped: \(test.name), for OVH's client for Python is not to be had: \(error)")
        }
        try await Self.$python.withValue(python) { try await tests() }
    }

    private static func run(_ program: String, _ arguments: [String]) async throws -> ChildProcess.Ending {
        do {
            return try await ChildProcess.run(.init(program, arguments), deadline: .seconds(180)).ending
        } catch is SpawnError {
            return .exited(127)
        }
    }
}

/// The simulator as OVH's own client meets it.
@Suite(OfficialOVHClient(), .timeLimit(.minutes(5))) struct OfficialClientTests {
    @Test func theVendorsClientMakesAndRemovesAnInstance() async throws {
        let python = OfficialOVHClient.python
        var options = OVHSimulator.Options()
        options.guests = .greeting
        options.sshPort = 4_623
        options.buildTime = .milliseconds(300)
        options.powerTime = .milliseconds(200)
        options.deleteTime = .milliseconds(200)
        try await OVHSimulator.withRunning(options) { simulator in
            await simulator.setClock(ahead: 5_000)  // the client asks for the time, and signs with it
            var command = ChildProcess.Command(python, ["-c", Self.script])
            command.environment = simulator.environment.merging(["PATH": "/usr/bin:/bin"]) { $1 }
            let result = try await ChildProcess.run(command, deadline: .seconds(60))
            #expect(result.ending.isSuccess, "\(result.errorText)")
            #expect(result.text.hasSuffix("done\n"))
            #expect(await simulator.instances().isEmpty)
            #expect(await simulator.sshKeyNames().isEmpty)
            #expect(await simulator.calls("GET /auth/time") == 3)  // one outright, one a client
        }
    }

    private static let script = #"""
        import os, time
        import ovh
        import ovh.client

        ovh.client.ENDPOINTS["simulator"] = os.environ["OVH_ENDPOINT"]
        keys = {
            "application_key": os.environ["OVH_APPLICATION_KEY"],
            "application_secret": os.environ["OVH_APPLICATION_SECRET"],
            "consumer_key": os.environ["OVH_CONSUMER_KEY"],
        }
        client = ovh.Client(endpoint="simulator", **keys)
        project = os.environ["OVH_CLOUD_PROJECT_SERVICE"]
        root = "/cloud/project/" + project

        assert abs(client.get("/auth/time", _need_auth=False) - time.time() - 5000) < 10
        assert client.get("/cloud/project") == [project]
        assert client.get(root)["status"] == "ok"
        assert "GRA11" in client.get(root + "/region")
        flavors = client.get(root + "/flavor", region="GRA11")
        flavor = next(f for f in flavors if f["name"] == "d2-4")
        image = next(i for i in client.get(root + "/image", region="GRA11", osType="linux") if i["name"] == "Ubuntu 22.04")
        key = client.post(root + "/sshkey", name="cl\u00e9", publicKey="ssh-ed25519 AAAA", region="GRA11")
        assert key["id"] in [k["id"] for k in client.get(root + "/sshkey")]

        made = client.post(
            root + "/instance", name="mlt-python", region="GRA11", flavorId=flavor["id"], imageId=image["id"],
            sshKeyId=key["id"], monthlyBilling=False, userData="#cloud-config\n{}",
        )
        instance = root + "/instance/" + made["id"]
        assert made["status"] == "BUILD" and made["ipAddresses"] == []


        def wait(status):
            end = time.time() + 10
            while True:
                now = client.get(instance)
                if now["status"] == status:
                    return now
                assert time.time() < end, now["status"]
                time.sleep(0.05)


        active = wait("ACTIVE")
        assert active["flavor"]["name"] == "d2-4" and active["sshKey"]["id"] == key["id"]
        assert [a for a in active["ipAddresses"] if a["version"] == 4 and a["ip"].startswith("127.")]
        assert [i["name"] for i in client.get(root + "/instance", region="GRA11")] == ["mlt-python"]
        assert client.post(instance + "/stop") is None
        try:
            client.post(instance + "/start")
            raise SystemExit("a start in the middle of a stop was accepted")
        except ovh.exceptions.ResourceConflictError:
            pass
        wait("SHUTOFF")
        client.post(instance + "/start")
        wait("ACTIVE")
        client.delete(instance)
        end = time.time() + 10
        while True:
            try:
                client.get(instance)
                assert time.time() < end
                time.sleep(0.05)
            except ovh.exceptions.ResourceNotFoundError as error:
                assert error.query_id.startswith("SIM.")
                break
        client.delete(root + "/sshkey/" + key["id"])

        keys["application_secret"] = "wrong"
        try:
            ovh.Client(endpoint="simulator", **keys).get("/me")
            raise SystemExit("a wrong secret was accepted")
        except ovh.exceptions.BadParametersError as error:
            assert "Invalid signature" in str(error)
        print("done")
        """#
}
