import EventLoop
import Foundation
import TestSupport
import Testing

/// `martlet env` and `martlet quota`, as a person at a terminal meets them.
@Suite(SharedMartlet()) struct EnvironmentCommandTests {
    private func object(_ output: ChildProcess.Output) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(output.output)) as? [String: Any], "\(output)")
    }

    @Test func anEnvironmentIsMadeUsedChangedAndDestroyed() async throws {
        let martlet = try shared()
        let file = try martlet.file("test.env", "# of the tests\nA=file\nB='two words'\n")
        let script = try martlet.file("setup.sh", "echo made > ~/made-by-setup\n")
        let made = try await martlet.run([
            "env", "create", "--name", "web", "--vcpus", "1", "--memory", "1024", "--disk", "1024", "--var-file", file,
            "--var", "A=argument", "--init-script", script, "--duration", "8",
        ])
        #expect(made.ending == .exited(0), "\(made.errorText)")
        #expect(made.errorText.contains("The VM is set up"))
        #expect(made.text.contains(/state +running/) && made.text.contains(/expires .*in 8 h/), "\(made.text)")
        let slug = String(try #require(made.text.firstMatch(of: /env_[a-z0-9]{8}/)).output)

        let list = try await martlet.run(["env", "list"]).text.split(separator: "\n")
        #expect(list.contains { $0.hasPrefix("\(slug)  web") && $0.contains("1 vCPU, 1 GB, 1 GB") }, "\(list)")

        let program = try martlet.file("show.sh", "echo $A, $B; cat ~/made-by-setup")
        let run = try await martlet.run(["run", "--environment", slug, program])
        #expect(run.text == "argument, two words\nmade\n", "\(run.errorText)")

        let changed = try object(
            try await martlet.run(["env", "update", slug, "--name", "renamed", "--no-vars", "--no-duration", "--json"]))
        let environment = try #require(changed["environment"] as? [String: Any])
        #expect(environment["name"] as? String == "renamed")
        #expect(environment["environmentVars"] as? [String] == [])
        #expect(environment["expiresAt"] is NSNull)
        #expect(try await martlet.run(["run", "--environment", slug, program]).text == ",\nmade\n")

        let stopped = try object(try await martlet.run(["env", "stop", slug, "--json"]))
        #expect((stopped["environment"] as? [String: Any])?["state"] as? String == "stopped")
        #expect(try await martlet.run(["env", "start", slug]).text.contains(/state +running/))

        let unconfirmed = try await martlet.run(["env", "destroy", slug])
        #expect(unconfirmed.ending == .exited(2))
        #expect(unconfirmed.errorText.contains("--yes"))
        let destroyed = try await martlet.run(["env", "destroy", slug, "--yes"])
        #expect(destroyed.text == "destroyed\n", "\(destroyed.errorText)")
        #expect(try await martlet.run(["env", "list"]).text.contains(slug) == false)

        let audit = try await martlet.run(["env", "audit", slug, "--limit", "2"])
        #expect(audit.text.contains("destroying > destroyed"))
        #expect(audit.text.split(separator: "\n").count == 3)
        #expect(audit.errorText.contains("--limit"), "that there is more is said")
        let log = try await martlet.run(["env", "logs", slug])
        #expect(log.text.contains("The VM is destroyed"))
    }

    @Test func theQuotaIsShownAndARefusalSaysWhy() async throws {
        let martlet = try shared()
        let quota = try await martlet.run(["quota"])
        #expect(quota.text.contains(/environments +[0-9] +3/), "\(quota.text)")
        let limits = (try object(try await martlet.run(["quota", "--json"]))["quota"] as? [String: Any])?["limits"]
        #expect((limits as? [String: Any])?["environments"] as? Int == 3)
        let refused = try await martlet.run(["env", "create", "--name", "large", "--vcpus", "99"])
        #expect(refused.ending == .exited(122))
        #expect(refused.errorText.contains(/martlet: .*\n  .*\n  limit_exceeded, request req_/), "\(refused.errorText)")
        #expect(refused.text.isEmpty)
    }

    @Test func whatIsNotThereIsNotFound() async throws {
        let martlet = try shared()
        for command in [["show"], ["stop"], ["destroy", "--yes"], ["audit"], ["update", "--name", "x"]] {
            let result = try await martlet.run(["env"] + command + ["env_00000000"])
            #expect(result.ending == .exited(122), "\(command)")
            #expect(result.errorText.contains("environment_not_found"), "\(command)")
        }
        let faulty = try martlet.file("faulty.env", "A=1\nsecret value\n")
        let result = try await martlet.run(["env", "create", "--name", "x", "--var-file", faulty])
        #expect(result.ending == .exited(2))
        #expect(result.errorText.contains("line 2") && !result.errorText.contains("secret"), "\(result.errorText)")
    }
}
