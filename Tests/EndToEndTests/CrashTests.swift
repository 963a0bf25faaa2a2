import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// `martlet up` dies in the middle of something, and is started again.
@Suite struct CrashTests {
    @Test func afterAKillEverythingIsThereAndTheLostRunIsRecordedAsLost() async throws {
        try await LiveMartlet.withMartlet { martlet in
            let mark = marker()
            let write = "import os; open(os.path.expanduser('~/kept.txt'), 'w').write('\(mark)')"
            let events1 = try await martlet.execute(try body("python", write))
            #expect(events1.exit?.exitCode == 0)
            let token = try martlet.token

            let lasting = "echo up; exec -a \(mark) sleep 1000"
            let id = try await martlet.withEvents(try body("bash", lasting, ["timeoutMs": 200_000])) { events in
                var id = ""
                for try await event in events {
                    if let started = event.executionId { id = started }
                    if event.data == "up\n" { break }
                }
                try await martlet.kill()
                return id
            }
            // Nobody is left to kill it but the runner itself.
            try await eventually(within: .seconds(5), describing: "the run's processes gone") {
                processes(marked: mark).isEmpty
            }
            try await eventually(within: .seconds(30), describing: "its servers gone") {
                processes(marked: martlet.directory).allSatisfy { process in
                    let name = (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)) ?? ""
                    return !name.hasPrefix("postgres") && !name.hasPrefix("redis")
                }
            }

            try await martlet.start()
            #expect(try martlet.token == token)
            let read = "import os; print(open(os.path.expanduser('~/kept.txt')).read())"
            let events2 = try await martlet.execute(try body("python", read))
            #expect(events2.stdout == mark + "\n")
            try await eventually(
                within: .seconds(40), describing: "the lost execution recorded as lost",
                read: { try await martlet.send("GET", "/v1/executions/\(id)").text },
                until: { $0.contains("lost") })
        }  // and leaves no process and no mount: withMartlet looks
    }

    /// Something else at the VM's address, or a VM that was tampered with: nothing is sent to it.
    @Test func aChangedHostKeyIsRefused() async throws {
        try await LiveMartlet.withMartlet { martlet in
            _ = try await martlet.execute(try body("bash", "echo 1"))
            let id = try #require(try await WakingTests.vm(martlet)["id"] as? String)
            try await WakingTests.stop(martlet)
            let files = try FileManager.default.subpathsOfDirectory(atPath: martlet.dataDirectory)
            let key = try #require(files.first { $0.contains(id) && $0.hasSuffix("ssh/host_ed25519") })
            let other = "\(martlet.directory)/other"
            let generate = ChildProcess.Command("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", other])
            #expect(try await ChildProcess.run(generate, deadline: .seconds(10)).ending.isSuccess)
            let handle = try FileHandle(forWritingTo: URL(filePath: "\(martlet.dataDirectory)/\(key)"))
            try handle.truncate(atOffset: 0)  // the same file, so that its owner stays
            try handle.write(contentsOf: Data(contentsOf: URL(filePath: other)))
            try handle.close()
            let events = try await martlet.execute(try body("bash", "echo 2"))
            #expect(events.error?.code == "host_key_mismatch")
            #expect(events.error?.message?.contains("host key") == true)
            #expect(!events.contains { $0.event == "started" })
        }
    }

    @Test func aSecondUpSaysThatOneIsRunning() async throws {
        try await LiveMartlet.withMartlet { martlet in
            let second = try await martlet.run(["up", "--port", "0", "--data-dir", martlet.dataDirectory])
            #expect(!second.ending.isSuccess)
            #expect((second.text + second.errorText).contains("running"))
            #expect((second.text + second.errorText).contains(try martlet.url))
        }
    }

    @Test func aVMKilledBehindOurBackIsWokenAgain() async throws {
        try await LiveMartlet.withMartlet { martlet in
            let events3 = try await martlet.execute(try body("bash", "echo 1"))
            #expect(events3.stdout == "1\n")
            let vm = try await WakingTests.vm(martlet)
            let id = try #require(vm["id"] as? String)
            let inits = processes(marked: "martlet-runner").filter { process in
                (try? String(contentsOfFile: "/proc/\(process)/cgroup", encoding: .utf8))?.contains(id) == true
            }
            #expect(!inits.isEmpty)
            for process in inits { Foundation.kill(process, SIGKILL) }
            let events4 = try await martlet.execute(try body("bash", "echo 2"))
            #expect(events4.stdout == "2\n")
        }
    }
}
