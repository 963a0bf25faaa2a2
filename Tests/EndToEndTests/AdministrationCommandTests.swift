import EventLoop
import Foundation
import TestSupport
import Testing

/// `martlet admin`, as whoever has just become the operator of an installation meets it.
@Suite(.serialized, SharedMartlet()) struct AdministrationCommandTests {
    private func admin(_ arguments: String...) async throws -> ChildProcess.Output {
        try await shared().run(["admin"] + arguments)
    }

    private func done(_ output: ChildProcess.Output, _ location: SourceLocation = #_sourceLocation) -> String {
        #expect(output.ending == .exited(0), "\(output.errorText)", sourceLocation: location)
        return output.text
    }

    @Test func aUserIsCreatedGivenATierAndAToken() async throws {
        let martlet = try shared()
        let created = done(try await admin("users", "create", "ada", "--email", "ada@example.org"))
        #expect(created.contains(/tier +free/) && created.contains(/state +active/), "\(created)")
        #expect(done(try await admin("users", "update", "ada", "--tier", "pro")).contains(/tier +pro/))
        #expect(done(try await admin("users", "list", "--search", "ada")).contains("ada@example.org"))

        let token = done(try await admin("users", "token", "create", "ada", "laptop"))
        #expect(token.wholeMatch(of: /mlt_\S+\n/) != nil, "the token stands alone on standard output")
        let secret = token.trimmingCharacters(in: .newlines)
        let list = done(try await admin("users", "token", "list", "ada"))
        #expect(list.contains("laptop") && !list.contains(secret))

        _ = done(try await admin("users", "quota", "set", "ada", "--environments", "7"))
        let limited = done(try await admin("users", "quota", "set", "ada", "--runtime-hours", "100"))
        #expect(limited.contains(/environments +0 +7 +admin/), "what is left out stays: \(limited)")
        #expect(done(try await admin("users", "quota", "set", "ada", "--reset")).contains(/environments +0 +3 +tier/))

        for command in [["stats"], ["users", "list"], ["vms", "list"], ["jobs", "list"], ["audit"]] {
            let refused = try await martlet.run(["admin"] + command, variables: ["MARTLET_TOKEN": secret])
            #expect(refused.ending == .exited(121), "\(command)")
            #expect(refused.errorText.contains("forbidden, request") && refused.text.isEmpty, "\(refused.errorText)")
        }
        #expect(try await martlet.run(["quota"], variables: ["MARTLET_TOKEN": secret]).ending == .exited(0))

        #expect(done(try await admin("users", "suspend", "ada")).contains(/state +suspended/))
        #expect(try await martlet.run(["quota"], variables: ["MARTLET_TOKEN": secret]).ending == .exited(121))
        #expect(done(try await admin("users", "resume", "ada")).contains(/state +active/))
        let audit = done(try await admin("audit", "--user", "ada", "--since", "10m"))
        #expect(audit.contains("user.suspend"), "\(audit)")
        #expect(try await admin("users", "show", "nobody").errorText.contains("user_not_found"))
    }

    @Test func aFailedJobIsFoundUnderstoodAndRetried() async throws {
        let martlet = try shared()
        let environment = try await sleepingEnvironment()
        let slug = environment.slug
        let home = "\(martlet.dataDirectory)/vms/mlt-\(environment.id)/home.img"
        // An operator who moved files about: the VM cannot be started without its home.
        try FileManager.default.moveItem(atPath: home, toPath: home + ".away")
        let failed = try await martlet.run(["env", "start", slug])
        #expect(failed.ending == .exited(123))
        #expect(failed.errorText.contains("home") && failed.errorText.contains("martlet env recover \(slug)"))

        #expect(done(try await admin("vms", "list", "--state", "error")).contains(slug))
        #expect(done(try await admin("stats")).contains("1 error"))
        // The job is given up a moment after its VM is in 'error'.
        let list = try await eventually(describing: "a failed job") {
            try JSONDecoder().decode(Jobs.self, from: Data(try await admin("jobs", "list", "--json").output)).jobs
        } until: {
            !$0.isEmpty
        }
        let job = try #require(list.first)
        #expect(list.count == 1 && job.queue == "vm-control" && job.state == "failed")
        let report = done(try await admin("jobs", "show", job.id))
        #expect(report.contains(/reason +.*home is gone/), "\(report)")
        #expect(report.contains("\ndata\n") && report.contains("\nstack\n") && report.contains("\nlog\n"), "\(report)")
        #expect(done(try await admin("vms", "timeline", slug)).contains("starting > error"))
        #expect(done(try await admin("vms", "logs", slug)).contains(/error: .*home is gone/))
        #expect(done(try await admin("vms", "unknown")).hasPrefix("There are none"))

        try FileManager.default.moveItem(atPath: home + ".away", toPath: home)
        #expect(done(try await admin("jobs", "retry", job.id)).hasPrefix("done again by job "))
        try await eventually(within: .seconds(30), describing: "the VM running again") {
            try await admin("vms", "show", slug).text.contains(/state +running/)
        }
        #expect(done(try await admin("jobs", "list")) == "There are no failed jobs.\n")
        #expect(done(try await admin("vms", "why", slug)).contains(/runs +0 under way/))
        #expect(done(try await admin("vms", "stop", slug)).contains(/state +stopped/))
        #expect(try await admin("vms", "destroy", slug).ending == .exited(2), "it is not done unasked")
        #expect(done(try await admin("vms", "destroy", slug, "--yes")) == "destroyed\n")
        #expect(try await admin("jobs", "retry", "nothing").errorText.contains("job_not_found"))
    }

    @Test func aHostIsAddedDrainedAndRemoved() async throws {
        let size = ["--vcpus", "8", "--memory", "16384", "--disk", "100000"]
        let added = done(try await shared().run(["admin", "hosts", "add", "fc-1", "10.0.0.11"] + size))
        #expect(added.contains(/state +ready/), "\(added)")
        #expect(done(try await admin("hosts", "cordon", "fc-1")).contains(/state +cordoned/))
        #expect(done(try await admin("hosts", "uncordon", "fc-1")).contains(/state +ready/))
        let drained = done(try await admin("hosts", "drain", "fc-1"))
        #expect(drained.contains(/state +maintenance/), "it is waited for: \(drained)")
        #expect(done(try await admin("hosts", "list")).contains(/fc-1 +10\.0\.0\.11 +maintenance +0.8/))
        #expect(done(try await admin("hosts", "remove", "fc-1")).isEmpty)
        #expect(try await admin("hosts", "show", "fc-1").errorText.contains("host_not_found"))
    }

    @Test func aQueueIsPausedAndResumed() async throws {
        #expect(done(try await admin("queues", "pause", "vm-provision")).contains(/state +paused/))
        let list = done(try await admin("queues", "list"))
        #expect(list.contains(/vm-provision +paused/) && list.contains(/vm-control +active/), "\(list)")
        #expect(done(try await admin("queues", "resume", "vm-provision")).contains(/state +active/))
        #expect(done(try await admin("queues", "drain", "vm-provision")) == "0 jobs removed\n")
        let unknown = try await admin("queues", "show", "vm-nothing")
        #expect(unknown.ending == .exited(122) && unknown.errorText.contains("queue_not_found"))
    }

    private struct Jobs: Decodable {
        struct Job: Decodable {
            let id: String
            let queue: String
            let state: String
        }
        let jobs: [Job]
    }

    private struct Made: Decodable {
        struct Environment: Decodable {
            let slug: String
            let id: String
        }
        let environment: Environment
    }

    /// Makes one and puts it to sleep.
    private func sleepingEnvironment() async throws -> Made.Environment {
        let made = try await shared().run(
            ["env", "create", "--name", "work", "--vcpus", "1", "--memory", "1024", "--disk", "1024", "--json"])
        let environment = try JSONDecoder().decode(Made.self, from: Data(made.output)).environment
        _ = done(try await shared().run(["env", "stop", environment.slug]))
        return environment
    }
}
