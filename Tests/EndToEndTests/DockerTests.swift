import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// `martlet up` whose VMs are containers of a Docker engine.
@Suite(LiveDocker(), .timeLimit(.minutes(10))) struct DockerTests {
    private func withMartlet(_ body: (LiveMartlet) async throws -> Void) async throws {
        try await LiveMartlet.withMartlet(
            environment: ["VM_PROVIDER": "docker", "DOCKER_HOST": LiveDocker.engine.host], body)
    }

    @Test func aSleepingVMIsWokenAndKeepsItsHome() async throws {
        try await withMartlet { martlet in
            let first = try await martlet.execute(
                try body("python", "open('/home/martlet/x', 'w').write('kept'); print(1)"))
            #expect(first.stdout == "1\n" && first.exit?.exitCode == 0, "\(first)")
            #expect(try await WakingTests.vm(martlet)["provider"] as? String == "docker")
            try await WakingTests.stop(martlet)

            let clock = ContinuousClock()
            let began = clock.now
            let second = try await martlet.execute(try body("bash", "cat ~/x; hostname"))
            let elapsed = clock.now - began
            #expect(second.stdout.hasPrefix("keptmlt-"), "\(second)")
            #expect(second.contains { $0.event == "status" && $0.state == "starting" })
            print("cold call of a stopped Docker VM: \(elapsed)")

            let doctor = try await martlet.run(["doctor", "--data-dir", martlet.dataDirectory])
            #expect(doctor.text.contains("'docker' works, it has 1 VMs: Docker"), "\(doctor.text)")

            // Somebody has taken the container away: the next call makes it again, around the same home.
            try await WakingTests.stop(martlet)
            let name = try #require(second.stdout.split(separator: "\n").first?.dropFirst(4))
            let removal = try await LiveDocker.engine.call("DELETE", "/containers/\(name)")
            #expect(removal.status == 204)
            let third = try await martlet.execute(try body("bash", "cat ~/x"))
            #expect(third.stdout == "kept", "\(third)")

            _ = try await martlet.send("DELETE", "/v1/vm")
            try await eventually(
                within: .seconds(30), describing: "nothing of the VM in the engine",
                read: { try await LiveDocker.engine.call("GET", "/volumes").text },
                until: { !$0.contains("mlt-") })
        }
    }
}
