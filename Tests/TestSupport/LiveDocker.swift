import EventLoop
import Foundation
package import HTTPTransport
package import Testing

/// A real Docker engine for every test under a suite, and in it the image that VMs are made of. Private: own socket, own
/// state, own address range, own control group; a system's engine is neither asked nor disturbed.
///
/// The engine's images are kept below `.build` from run to run, so that only the first one has to make the base, by
/// `debootstrap` (a minute). Whatever containers, volumes and networks there are go before and after.
///
/// Where dockerd is not installed or the tests do not run as root the suite is left out with a printed reason, and fails
/// in continuous integration.
package struct LiveDocker: SuiteTrait, TestScoping {
    @TaskLocal private static var current: DockerEngine?

    /// The engine that runs now.
    package static var engine: DockerEngine {
        guard let current else { preconditionFailure("a test that uses LiveDocker stands in a suite with its trait") }
        return current
    }

    package init() {}

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        guard ProcessInfo.processInfo.environment["CI"] != nil || DockerEngine.isAvailable else {
            return print("skipped: \(test.name), for it needs root, dockerd, debootstrap and iptables")
        }
        try await DockerEngine.withEngine { engine in
            try await Self.$current.withValue(engine) { try await tests() }
        }
    }

    /// Starts the suite's engine again behind the wrapper, words of a command that executes the rest; the image is there.
    package static func restart(behind wrapper: [String]) async throws {
        try await engine.stop()
        await engine.live(behind: wrapper)
        try await engine.start()
    }
}

/// A dockerd of the tests' own, to be stopped and started.
package actor DockerEngine {
    package static let image = "martlet/vm:latest"
    private static let base = "martlet/debian:bookworm"
    private static let languages = "bash,python"

    package nonisolated let socket: String
    /// Where it answers over TLS whoever has a certificate, and where those of a client lie.
    package nonisolated let tls: (host: String, certificates: String)
    private let directory: String  // for what does not outlive the engine
    private let state: String  // for what does
    private var process: ChildProcess?
    private var wrapper: [String] = []
    private let http = HTTPClient()

    /// For `DOCKER_HOST`.
    package nonisolated var host: String { "unix://\(socket)" }

    /// Whether networks are kept apart by this engine. Beside a system's engine it keeps its hands off the packet filter,
    /// whose chains both would take for their own.
    package static var filtersPackets: Bool { !FileManager.default.fileExists(atPath: "/var/run/docker.sock") }

    static var isAvailable: Bool {
        getuid() == 0
            && ["dockerd", "debootstrap", "iptables"].allSatisfy { program in
                ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].contains {
                    FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
                }
            }
    }

    private init(directory: String, state: String) {
        self.directory = directory
        self.state = state
        socket = "\(directory)/docker.sock"
        tls = ("tcp://127.0.0.1:\(Self.freePort())", "\(directory)/tls")
    }

    /// Lends a running engine with the image, and nothing else in it.
    static func withEngine<R>(_ body: (DockerEngine) async throws -> R) async throws -> R {
        let build =
            URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path + "/.build"
        try FileManager.default.createDirectory(atPath: "\(build)/docker-engine", withIntermediateDirectories: true)
        let lock = open("\(build)/docker-engine/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(lock) }
        try await eventually(within: .seconds(900), describing: "the other tests' engine to be gone") {
            flock(lock, LOCK_EX | LOCK_NB) == 0
        }
        return try await withTemporaryDirectory { directory in
            let engine = DockerEngine(directory: directory, state: "\(build)/docker-engine/data")
            do {
                try await engine.makeCertificates()
                try await engine.start()
                try await engine.removeEverything()
                try await engine.makeImage()
                let result = try await body(engine)
                try await engine.tearDown()
                return result
            } catch {
                try? await Task { try await engine.tearDown() }.value  // although the caller may be cancelled
                throw error
            }
        }
    }

    // MARK: Life

    func live(behind wrapper: [String]) { self.wrapper = wrapper }

    /// Starts it and returns when it answers.
    package func start() async throws {
        try Data("{}".utf8).write(to: URL(filePath: "\(directory)/daemon.json"))  // not /etc/docker's
        let words =
            wrapper + [
                "dockerd", "--data-root", state, "--exec-root", "\(directory)/exec",
                "--pidfile", "\(directory)/docker.pid",
                "--config-file", "\(directory)/daemon.json", "--host", host, "--bridge", "none",
                "--host", tls.host, "--tlsverify", "--tlscacert", "\(tls.certificates)/ca.pem",
                "--tlscert", "\(tls.certificates)/server.pem", "--tlskey", "\(tls.certificates)/server-key.pem",
                "--default-address-pool", "base=10.213.0.0/16,size=24", "--ip-forward=false",
                "--iptables=\(Self.filtersPackets)", "--cgroup-parent", "/martlet-test",
                "--containerd-namespace", "martlet-test", "--containerd-plugins-namespace", "martlet-test-plugins",
                "--log-level", "warn",
            ]
        var command = ChildProcess.Command(words[0], Array(words.dropFirst()))
        command.output = .appending(path: "\(directory)/dockerd.log")
        command.error = command.output
        command.endsWithParent = .terminate
        let process = try await ChildProcess.start(command)
        self.process = process
        do {
            try await eventually(within: .seconds(60), describing: "dockerd to answer") {
                (try? await http.send(request("GET", "/_ping")))?.status == 200
            }
        } catch {
            let log = (try? String(contentsOfFile: "\(directory)/dockerd.log", encoding: .utf8)) ?? "no log"
            print(log.suffix(4_000))
            throw error
        }
    }

    /// As by a system that shuts down: it stops its containers.
    package func stop() async throws { try await end(by: .terminate) }

    /// As by a crash: containers run on. Its containerd goes with it, and is waited for: a new dockerd would take one that
    /// is only just ending for one that runs.
    package func kill() async throws {
        let path = "\(directory)/exec/containerd/containerd.pid"
        let containerd = (try? String(contentsOfFile: path, encoding: .utf8)).flatMap {
            pid_t($0.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        try await end(by: .kill)
        guard let containerd else { return }
        try await eventually(describing: "the end of containerd") {
            !FileManager.default.fileExists(atPath: "/proc/\(containerd)/ns/pid")
        }
        unlink(path)
    }

    private func end(by signal: ChildProcess.Signal) async throws {
        guard let process else { return }
        self.process = nil
        await process.send(signal)
        _ = try await withDeadline(.seconds(60), "end of dockerd") { try await process.wait() }
    }

    private static func freePort() -> Int { (try? LoopbackListener().port) ?? 0 }

    /// An authority, and in its name a server and a client.
    private func makeCertificates() async throws {
        let script = """
            mkdir "$1"; cd "$1"
            key() { openssl ecparam -name prime256v1 -genkey -noout -out $1; }
            key ca-key.pem; key server-key.pem; key key.pem
            openssl req -new -x509 -key ca-key.pem -subj /CN=authority -days 2 -out ca.pem
            sign() { openssl req -new -key $1 -subj /CN=127.0.0.1 | openssl x509 -req -CA ca.pem -CAkey ca-key.pem \
                -CAcreateserial -days 2 -out $2 -extfile "$3"; }
            echo 'subjectAltName=IP:127.0.0.1' >server.ext; echo 'extendedKeyUsage=clientAuth' >client.ext
            sign server-key.pem server.pem server.ext; sign key.pem cert.pem client.ext
            """
        let result = try await ChildProcess.run(
            .init("sh", ["-ec", script, "certificates", tls.certificates]), deadline: .seconds(60))
        guard result.ending.isSuccess else {
            throw NeverHappened(awaited: "certificates", limit: .seconds(60), lastSeen: result.errorText)
        }
    }

    private func tearDown() async throws {
        if process != nil { try await removeEverything() }
        try await stop()
        // What a dockerd leaves behind of itself.
        let script = """
            umount --lazy "$1"; rmdir /sys/fs/cgroup/martlet-test /sys/fs/cgroup/*/martlet-test
            umount --recursive "$2"  # it makes a mount of its data, which then could not be deleted
            """
        _ = try await ChildProcess.run(
            .init("sh", ["-c", script, "clean", "\(directory)/exec/netns/default", state]), deadline: .seconds(10))
        if Self.filtersPackets { try await removeChains() }
    }

    private func removeChains() async throws {
        let script = """
            for jump in DOCKER-USER DOCKER-ISOLATION-STAGE-1; do iptables -D FORWARD -j $jump; done
            iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
            iptables -t nat -D OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
            for chain in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
                iptables -F $chain; done
            for chain in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do
                iptables -X $chain; done
            iptables -t nat -F DOCKER; iptables -t nat -X DOCKER
            """
        _ = try await ChildProcess.run(.init("sh", ["-c", script]), deadline: .seconds(30))
    }

    // MARK: What is in it

    /// The engine's answer to a call of its API, without a version's prefix.
    @discardableResult
    package func call(_ method: String, _ path: String, json: String? = nil) async throws -> HTTPResponse {
        try await http.send(request(method, path, json: json), bodyLimit: 64 << 20)
    }

    private nonisolated func request(_ method: String, _ path: String, json: String? = nil) -> HTTPRequest {
        HTTPRequest(
            method, "http://docker" + path, headers: json == nil ? [] : [("Content-Type", "application/json")],
            body: json.map { Array($0.utf8) }, unixSocket: socket, timeout: .seconds(60))
    }

    /// All containers, volumes, and networks but the engine's own.
    package func removeEverything() async throws {
        func names(_ path: String, _ list: ([String: Any]) -> [[String: Any]], _ key: String) async throws -> [String] {
            let data = Data(try await call("GET", path).body)
            let parsed = try JSONSerialization.jsonObject(with: data)
            let items = parsed as? [[String: Any]] ?? list(parsed as? [String: Any] ?? [:])
            return items.compactMap { $0[key] as? String }
        }
        for id in try await names("/containers/json?all=1", { _ in [] }, "Id") {
            try await call("DELETE", "/containers/\(id)?force=1&v=1")
        }
        for name in try await names("/volumes", { $0["Volumes"] as? [[String: Any]] ?? [] }, "Name") {
            try await call("DELETE", "/volumes/\(name)")
        }
        for name in try await names("/networks", { _ in [] }, "Name") where !["none", "host"].contains(name) {
            try await call("DELETE", "/networks/\(name)")
        }
    }

    /// By `martlet image build`: the engine's cache makes that quick when nothing has changed.
    private func makeImage() async throws {
        let hasBase = try await call("GET", "/images/\(Self.base)/json").status == 200
        var command = ChildProcess.Command(
            LiveMartlet.binary,
            ["image", "build", "--docker-host", host, "--runtimes", Self.languages, "--image", Self.image]
                + (hasBase ? ["--base", Self.base] : ["--from-debootstrap"]))
        command.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("MARTLET_") }
            .merging(["XDG_CONFIG_HOME": directory]) { _, new in new }
        let result = try await ChildProcess.run(command, deadline: .seconds(900))
        guard result.ending.isSuccess else {
            throw NeverHappened(
                awaited: "the image of VMs", limit: .seconds(900), lastSeen: "\(result.text)\n\(result.errorText)")
        }
    }
}
