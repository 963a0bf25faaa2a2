import Client
import EventLoop
import Foundation
import HTTPTransport
import Synchronization
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

    @Test func aTerminalOpensTypesResizesAndIsFoundAgain() async throws {
        try await withMartlet { martlet in
            let client = APIClient(url: try martlet.url, token: try martlet.token)
            let clock = ContinuousClock()
            let began = clock.now
            try await client.webSocket("/v1/terminals/of-docker/socket?create=1&rows=31&columns=101") { socket in
                try await Self.read(socket, until: #""attached""#)
                print("terminal of a Docker VM that was not there: \(clock.now - began)")
                try await socket.send(Array("KEPT=sa; stty size; tty; echo $((6*7))-é\n".utf8))
                let shown = try await Self.read(socket, until: "42-é")
                #expect(shown.contains("31 101\r\n/dev/pts/"), "\(shown)")
                try await socket.send(text: #"{"resize":{"rows":40,"columns":120}}"#)
                // One job: between two of the shell's, the terminal would interrupt the one that has ended.
                try await socket.send(Array("sh -c 'stty size; exec sleep 600'\n".utf8))
                try await Self.read(socket, until: "40 120\r\n")
                try await socket.send([3])  // to the program that is in front, by the terminal itself
                try await socket.send(Array("echo $?\n".utf8))
                try await Self.read(socket, until: "130\r\n")
            }
            // The connection is gone, the shell is not; a gateway that was never asked before finds it.
            let list = try await martlet.send("GET", "/v1/terminals").text
            #expect(list.contains(#""id":"of-docker""#), "\(list)")
            try await martlet.withGateway { gateway in
                let other = APIClient(url: try gateway.url, token: try martlet.token)
                try await other.webSocket("/v1/terminals/of-docker/socket?rows=40&columns=120") { socket in
                    try await Self.read(socket, until: "130\r\n")  // what it printed before
                    try await socket.send(Array("echo ${KEPT}me; exit 3\n".utf8))
                    let shown = try await Self.read(socket, until: #"{"exit":{"exitCode":3,"signal":null}}"#)
                    #expect(shown.contains("same\r\n"), "\(shown)")
                }
            }
            try await eventually(describing: "no terminal") {
                try await martlet.send("GET", "/v1/terminals").text.contains(#""terminals":[]"#)
            }
        }
    }

    @Test func openSSHWakesASleepingVMForAKeyThatIsLetInAndForNoOther() async throws {
        try await withMartlet { martlet in
            let desk = Desk(martlet: martlet)
            for key in ["id_ed25519", "other"] {
                try await desk.make(key: key)
                let added = try await martlet.run(["key", "add", "\(desk.home)/.ssh/\(key).pub"])
                #expect(added.ending == .exited(0), "\(added.errorText)")
            }
            _ = try await martlet.execute(try body("bash", "echo there >~/x"))
            let written = try await martlet.run(["ssh-config", "--write"])
            #expect(written.ending == .exited(0), "\(written.errorText)")
            try await WakingTests.stop(martlet)

            let clock = ContinuousClock()
            let began = clock.now
            let cold = try await desk.ssh("martlet", "cat ~/x; id -un; exit 7")
            print("ssh into a stopped Docker VM: \(clock.now - began)")
            #expect(cold.ending == .exited(7) && cold.text == "there\nmartlet\n", "\(cold.errorText)")
            let file = try martlet.file("sent", String(repeating: "0123456789abcdef", count: 250_000))
            let options = desk.configuration + ["-q", "-i", "\(desk.home)/.ssh/id_ed25519"]
            let scp = try await desk.run("scp", options + [file, "martlet:sent"])
            #expect(scp.ending == .exited(0), "\(scp.errorText)")
            #expect(try await desk.ssh("martlet", "wc -c <sent").text == "4000000\n")

            #expect(try await desk.ssh(key: "other", "martlet", "true").ending == .exited(0))
            #expect(try await martlet.run(["key", "remove", "of other"]).ending == .exited(0))
            for state in ["running", "stopped"] {
                if state == "stopped" { try await WakingTests.stop(martlet) }
                let removed = try await desk.ssh(key: "other", "martlet", "true")
                #expect(
                    removed.ending == .exited(255) && removed.errorText.contains("Permission denied"),
                    "\(state): \(removed.errorText)")
            }
            #expect(try await desk.ssh("martlet", "cat ~/x").text == "there\n")
        }
    }

    /// What comes until something of it has come.
    @discardableResult
    private static func read(_ socket: ClientWebSocket, until wanted: String) async throws -> String {
        let seen = Mutex<[UInt8]>([])
        let text = { @Sendable in seen.withLock { String(decoding: $0, as: UTF8.self) } }
        do {
            try await withDeadline(.seconds(60), wanted) {
                while !text().contains(wanted) {
                    switch try await socket.next() {
                    case .text(let message): seen.withLock { $0 += Array("\(message)\n".utf8) }
                    case .binary(let bytes): seen.withLock { $0 += bytes }
                    case .closed(let code, let reason):
                        throw NeverHappened(
                            awaited: wanted, limit: .zero, lastSeen: "\(text()), closed \(code ?? 0) \(reason)")
                    }
                }
            }
        } catch let error as DeadlineExceeded {
            throw NeverHappened(awaited: wanted, limit: error.limit, lastSeen: text())
        }
        return text()
    }
}
