import Cryptography
import EventLoop
import Foundation
import HTTPTransport
import SSH
import TestSupport
import Testing

@testable import Providers

extension Docker {
    @Suite struct ProviderTests {
        @Test func aVMLivesFromCreateToDestroy() async throws {
            try await DockerBed.run { bed in
                let provider = bed.provider
                #expect(try await provider.list().isEmpty)
                let spec = try await bed.spec("mlt-1")
                let made = try await provider.create(spec, log: .none)
                #expect(made.state == .stopped && made.name == "mlt-1" && made.createdAt != nil)
                #expect(try await provider.create(spec, log: .none) == made)
                #expect(try await provider.endpoint(made.id) == nil)

                let endpoint = try await provider.start(made.id)
                #expect(endpoint.port >= 2_222 && endpoint.host == "127.0.0.1")
                #expect(try await bed.ssh("mlt-1", endpoint, "id -un; hostname").text == "martlet\nmlt-1")
                #expect(try await provider.start(made.id) == endpoint)
                #expect(try await provider.endpoint(made.id) == endpoint)
                #expect(try await provider.list().map(\.state) == [.running])
                #expect(try await provider.create(spec, log: .none).state == .running)
                #expect(try await provider.logs(made.id, lines: 5).contains { $0.contains("listening") })
                #expect(try await provider.logs(made.id, lines: 1).count == 1)
                let run = try await bed.ask(
                    "mlt-1", endpoint, ["language": "python", "code": "print(f'{6 * 7} {open(__file__).name}')"])
                #expect(run.contains("42 /tmp/run/main.py") && run.contains(#""exitCode":0"#), "\(run)")

                try await provider.stop(made.id)
                try await provider.stop(made.id)
                #expect(try await provider.status(made.id) == .stopped)
                #expect(try await provider.endpoint(made.id) == nil)
                #expect(try await provider.start(made.id) == endpoint)
                try await provider.destroy(made.id)
                try await provider.destroy(made.id)
                #expect(try await provider.status(made.id) == .missing)
                #expect(try await bed.traces().isEmpty)
                for verb in [{ _ = try await provider.start(made.id) }, { try await provider.stop(made.id) }] {
                    let error = await #expect(throws: ProviderError.self) { try await verb() }
                    #expect(error?.code == .missing)
                }
            }
        }

        @Test func theHomeSurvivesAStopAndAContainerThatIsMadeAgain() async throws {
            try await DockerBed.run { bed in
                let (vm, endpoint) = try await bed.running("mlt-home")
                let seen = try await bed.ssh("mlt-home", endpoint, "pwd; stat -c %U:%a .; echo kept >file").text
                #expect(seen == "/home/martlet\nmartlet:755")
                try await bed.provider.stop(vm.id)
                #expect(try await bed.provider.start(vm.id) == endpoint)
                #expect(try await bed.ssh("mlt-home", endpoint, "cat file").text == "kept")

                // Another network needs another container; a running one is left alone.
                let told = Told()
                let changed = try await bed.spec("mlt-home", network: true)
                _ = try await bed.provider.create(changed, log: told.log)
                #expect(await told.lines.contains { $0.contains("takes effect when") })
                try await bed.provider.stop(vm.id)
                #expect(try await bed.provider.create(changed, log: told.log).state == .stopped)
                let second = try await bed.provider.start(vm.id)
                #expect(second.port == endpoint.port)
                #expect(try await bed.ssh("mlt-home", second, "cat file").text == "kept")
            }
        }

        @Test func theLimitsAreInForceAndCanBeChanged() async throws {
            try await DockerBed.run { bed in
                var spec = try await bed.spec("mlt-limits")
                let told = Told()
                let vm = try await bed.provider.create(spec, log: told.log)
                let endpoint = try await bed.provider.start(vm.id)
                let look = """
                    cd /sys/fs/cgroup; if [ -e memory.max ]; then cat memory.max cpu.max pids.max memory.swap.max
                    else cat memory/memory.limit_in_bytes
                    echo $(cat cpu*/cpu.cfs_quota_us cpu*/cpu.cfs_period_us | head -2); cat pids/pids.max; fi
                    """
                func seen() async throws -> [String] {
                    try await bed.ssh(spec.name, endpoint, look).text.split(separator: "\n").map(String.init)
                }
                #expect(try await seen().prefix(3) == ["536870912", "100000 100000", "428"])
                let host = try await bed.provider.engine.container(spec.name)?.hostConfig
                #expect(host?.memory == 512 << 20 && host?.memorySwap == 512 << 20)
                #expect(host?.nanoCpus == 1_000_000_000 && host?.pidsLimit == 428)
                #expect(host?.logConfig.config["max-size"] == "1m")
                #expect(await told.lines.contains { $0.hasPrefix("warning") && $0.contains("watches") })

                spec.memoryMb = 640
                spec.processes = 200
                _ = try await bed.provider.create(spec, log: .none)
                #expect(try await seen().prefix(3) == ["671088640", "100000 100000", "728"])

                let memory = try await bed.ssh(spec.name, endpoint, "head -c 900M /dev/zero | tail -c 900M | wc -c")
                #expect(memory.text != "943718400")
                #expect(try await bed.ssh(spec.name, endpoint, "echo alive").text == "alive")
            }
        }

        @Test func runsAreHeldToTheirOwnLimits() async throws {
            try await DockerBed.run { bed in
                let (_, endpoint) = try await bed.running("mlt-runs")
                func ending(_ request: [String: Any]) async throws -> String {
                    try await bed.ask("mlt-runs", endpoint, request)
                }
                let hungry = "keep = []\nwhile True: keep.append(bytearray(1 << 20))"
                #expect(
                    try await ending(["language": "python", "code": hungry, "limits": ["memoryMb": 100]])
                        .contains(#""reason":"memory""#))
                let many = "import subprocess\nkeep = [subprocess.Popen(['sleep', '9']) for i in range(60)]"
                #expect(
                    try await ending(["language": "python", "code": many, "limits": ["processes": 20]])
                        .contains(#""reason":"processes""#))
                let bomb = "import os\nwhile True: os.fork()"
                let bombed = try await ending(["language": "python", "code": bomb, "limits": ["processes": 50]])
                #expect(bombed.contains(#""reason":"processes""#), "\(bombed.suffix(300))")
                let left = "(setsid sleep 777 &); sleep 60"
                #expect(
                    try await ending(["language": "bash", "code": left, "limits": ["timeoutMs": 300]])
                        .contains(#""reason":"timeout""#))
                // What they share is counted once.
                let shared =
                    "import subprocess\n[p.wait() for p in [subprocess.Popen(['sleep', '1']) for i in range(50)]]"
                #expect(
                    try await ending([
                        "language": "python", "code": shared, "limits": ["memoryMb": 64, "processes": 90],
                    ])
                    .contains(#""exitCode":0"#))
                let after = try await ending(["language": "bash", "code": "pgrep sleep || echo none; ls /tmp | wc -l"])
                #expect(after.contains("none") && after.contains("exited"), "\(after)")
            }
        }

        @Test func theInsideHasNoPowerOverTheOutside() async throws {
            try await DockerBed.run { bed in
                let (_, endpoint) = try await bed.running("mlt-inside")
                let refused = [
                    "touch /usr/x", "touch /etc/x", "cat /etc/martlet/runner.json", "cat /etc/martlet/host_ed25519",
                    "echo x >>/etc/martlet/authorized_keys", "cat /etc/shadow", "mount -t tmpfs none /tmp", "kill 1",
                    "unshare -U true", "su -c true", "ip route add default via 10.213.0.1",
                    "exec 3<>/dev/tcp/192.0.2.1/80", "getent hosts example.com",
                ]
                for command in refused {
                    let result = try await bed.ssh("mlt-inside", endpoint, "timeout 5 bash -c '\(command)'")
                    #expect(result.status != 0 && result.status != 124, "\(command): \(result)")
                }
                let seen = try await bed.ssh(
                    "mlt-inside", endpoint,
                    "grep -E 'CapBnd|CapPrm|NoNewPrivs' /proc/self/status; cut -f2 /proc/net/route | grep -c 00000000")
                // 0x12c11eb: those of the runner's own user namespace; outside of it there is none.
                #expect(
                    seen.text.split(whereSeparator: \.isWhitespace)
                        == ["CapPrm:", "0000000000000000", "CapBnd:", "00000000012c11eb", "NoNewPrivs:", "1", "0"],
                    "\(seen.text)")
                let host = try await bed.inspect("mlt-inside")
                #expect(host.contains(#""Privileged":false"#) && host.contains("no-new-privileges"))
            }
        }

        @Test(.enabled(if: DockerEngine.filtersPackets, "a system's engine has the packet filter"))
        func networksLeadOutOrNowhereAndNeverToAnotherVM() async throws {
            try await DockerBed.run { bed in
                let (_, first) = try await bed.running("mlt-out", network: true)
                let (_, _) = try await bed.running("mlt-next", network: true)
                let (_, third) = try await bed.running("mlt-shut")
                let (_, _) = try await bed.running("mlt-shut-2")
                func address(_ name: String) async throws -> String {
                    let text = try await bed.inspect(name)
                    return try #require(text.matches(of: /"IPAddress":"(10[0-9.]+)"/).first.map { String($0.1) })
                }
                let connect = { (host: String, port: Int) in
                    "timeout 2 bash -c 'exec 3<>/dev/tcp/\(host)/\(port) && head -c 4 <&3' 2>&1"
                }
                let next = try await address("mlt-next")
                let shut = try await address("mlt-shut-2")
                #expect(try await bed.ssh("mlt-out", first, connect(try await address("mlt-out"), 22)).text == "SSH-")
                #expect(try await bed.ssh("mlt-out", first, connect(next, 22)).text != "SSH-")
                #expect(try await bed.ssh("mlt-shut", third, connect(shut, 22)).text != "SSH-")
                #expect(
                    try await bed.ssh("mlt-shut", third, connect("192.0.2.1", 80)).text
                        .contains("Network is unreachable"))
                let routes = "cut -f2 /proc/net/route | grep -c 00000000"
                #expect(try await bed.ssh("mlt-out", first, routes).text == "1")
                let text = try await bed.engine.call("GET", "/networks/martlet-egress").text
                #expect(text.contains(#""com.docker.network.bridge.enable_ip_masquerade":"true""#))
            }
        }

        @Test func nothingSecretIsShownByTheEngine() async throws {
            try await DockerBed.run { bed in
                let spec = try await bed.spec("mlt-secret")
                let vm = try await bed.provider.create(spec, log: .none)
                let endpoint = try await bed.provider.start(vm.id)
                let run = try await bed.ask("mlt-secret", endpoint, ["language": "bash", "code": "echo $((6 * 7))"])
                #expect(run.contains("42"))
                let shown = try await [
                    bed.inspect("mlt-secret"), bed.engine.call("GET", "/containers/json?all=1").text,
                    bed.provider.logs(vm.id, lines: 1_000).joined(), bed.engine.call("GET", "/volumes").text,
                    bed.engine.call("GET", "/containers/mlt-secret/top").text,
                ].joined()
                #expect(shown.contains("mlt-secret"))
                for secret in [spec.runnerSecret, String(spec.hostKey.privateKey.split(separator: "\n")[1])] {
                    #expect(!shown.contains(secret))
                }
            }
        }

        @Test func aTerminalIsHadByTheOrdinaryClientToo() async throws {
            try await DockerBed.run { bed in
                let (_, endpoint) = try await bed.running("mlt-terminal")
                try await withTemporaryDirectory { directory in
                    try Files.write(bed.key.privateKey, to: "\(directory)/key", mode: 0o600)
                    let result = try await ChildProcess.run(
                        .init(
                            "ssh",
                            [
                                "-F", "none", "-tt", "-p", String(endpoint.port), "-i", "\(directory)/key", "-o",
                                "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
                                "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                                "\(endpoint.user)@\(endpoint.host)", "tty; stat -c %U $(tty)",
                            ]), deadline: .seconds(30))
                    #expect(result.text.contains("/dev/pts/") && result.text.contains("martlet"), "\(result)")
                }
            }
        }

        @Test func anotherKeyIsRefusedAndANewOneIsTakenAtOnce() async throws {
            try await DockerBed.run { bed in
                var spec = try await bed.spec("mlt-key")
                let vm = try await bed.provider.create(spec, log: .none)
                let endpoint = try await bed.provider.start(vm.id)
                let other = try SSHKeyPair.generate(comment: "other")
                let login = { try await bed.session("mlt-key", endpoint, as: other) { _ in } }
                await #expect(throws: SSHError.self) { try await login() }
                spec.authorizedKeys = [other.publicKey]
                _ = try await bed.provider.create(spec, log: .none)
                try await login()
            }
        }
    }
}
