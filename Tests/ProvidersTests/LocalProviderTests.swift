import Cryptography
import EventLoop
import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Providers

@Suite(LocalHost(), .timeLimit(.minutes(5))) struct LocalProviderTests {
    @Test func aVMLivesFromCreateToDestroy() async throws {
        try await TestBed.run { bed in
            let provider = bed.provider
            #expect(try await provider.list().isEmpty)
            let spec = try bed.spec("mlt-1")
            let made = try await provider.create(spec, log: .none)
            let again = try await provider.create(spec, log: .none)
            #expect(made == again)
            #expect(made.state == .stopped && made.name == "mlt-1")

            let endpoint = try await provider.start(made.id)
            #expect(try await bed.ssh(made, endpoint, "echo hi") == "hi")
            #expect(try await provider.start(made.id) == endpoint)
            #expect(try await provider.endpoint(made.id) == endpoint)
            #expect(try await provider.list().map(\.state) == [.running])
            #expect(try await provider.create(spec, log: .none).state == .running)
            #expect(try await provider.logs(made.id, lines: 5).contains { $0.contains("listening") })

            try await bed.provider.stop(made.id)
            try await bed.provider.stop(made.id)
            #expect(try await provider.status(made.id) == .stopped)
            #expect(try await provider.endpoint(made.id) == nil)
            #expect(bed.loopDevices.isEmpty)
            let isGreeted = try await withDeadline(.seconds(5), "refusal") {
                try await BannerProbe().isGreeted(port: endpoint.port)
            }
            #expect(!isGreeted)

            try await provider.destroy(made.id)
            try await provider.destroy(made.id)
            #expect(try await provider.status(made.id) == .missing)
            #expect(try await provider.list().isEmpty)
            let error = await #expect(throws: ProviderError.self) { try await provider.start(made.id) }
            #expect(error?.code == .missing)
        }
    }

    @Test func homeAndPortSurviveAStop() async throws {
        try await TestBed.run { bed in
            let (vm, endpoint) = try await bed.running("mlt-home")
            #expect(
                try await bed.ssh(vm, endpoint, "pwd; ls -A; stat -c %U:%a .; echo kept >file")
                    == "/home/martlet\nmartlet:755")
            try await bed.provider.stop(vm.id)
            let second = try await bed.provider.start(vm.id)
            #expect(second == endpoint)
            #expect(try await bed.ssh(vm, second, "cat file") == "kept")
        }
    }

    @Test func theLimitsAreSeenInside() async throws {
        try await TestBed.run { bed in
            let (vm, endpoint) = try await bed.running("mlt-limits")
            let seen = try await bed.ssh(
                vm, endpoint,
                """
                cd /sys/fs/cgroup; if [ -e memory.max ]; then cat memory.max cpu.max pids.max
                else cat memory/memory.limit_in_bytes; echo $(cat cpu*/cpu.cfs_quota_us cpu*/cpu.cfs_period_us); cat pids/pids.max; fi
                df --output=size --block-size=1M ~ | tail -1
                """
            ).split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
            #expect(seen.prefix(3) == ["536870912", "100000 100000", "428"])
            let disk = try #require(seen.last.flatMap { Int($0) })
            #expect((200...256).contains(disk))
            let full = try await bed.sshResult(
                vm, endpoint, "head -c 300M /dev/zero >big; rm big; head -c 10M /dev/zero >ok")
            #expect(full.errorText.contains("No space left on device") && full.ending.isSuccess)
            let memory = try await bed.sshResult(vm, endpoint, "head -c 700M /dev/zero | tail -c 700M | wc -c")
            #expect(memory.text != "734003200\n")
            #expect(try await bed.ssh(vm, endpoint, "echo alive") == "alive")
        }
    }

    @Test func theInsideHasNoPowerOverTheOutside() async throws {
        try await TestBed.run { bed in
            let (vm, endpoint) = try await bed.running("mlt-inside")
            let refused = [
                "touch /usr/x", "touch /etc/x", "cat /etc/martlet/runner.json", "cat /etc/ssh/host_ed25519",
                "echo x >>/etc/ssh/authorized_keys", "cat /etc/shadow", "mount -t tmpfs none /tmp",
                "echo 1 >/sys/fs/cgroup/pids/pids.max", "echo 1 >/sys/fs/cgroup/pids.max",
                "mkdir /sys/fs/cgroup/pids/x",
                "kill 1", "unshare -U true", "ulimit -c 1", "ls /root/.ssh", "su -c true",
                "echo x >/proc/sysrq-trigger",
                "exec 3<>/dev/tcp/192.0.2.1/80",
            ]
            for command in refused {
                #expect(
                    try await bed.sshResult(vm, endpoint, "bash -c '\(command)'").ending != .exited(0), "\(command)")
            }
            let seen = try await bed.ssh(
                vm, endpoint,
                "id -un; hostname; cat /proc/1/comm; cut -d: -f1 /etc/passwd | paste -sd,; ls /sys/class/net; ls /proc/sys/net/ipv4/conf | grep -vE \"all|default\"; grep NoNewPrivs /proc/self/status"
            )
            #expect(seen == "martlet\nmlt-inside\nmartlet-runner\nroot,sshd,martlet,nobody\nlo\nNoNewPrivs:\t1")
            var status = stat()
            #expect(stat("/dev/null", &status) == 0 && status.st_uid == 0)
        }
    }

    @Test func anotherKeyIsRefused() async throws {
        try await TestBed.run { bed in
            let (vm, endpoint) = try await bed.running("mlt-key")
            try Files.write(try SSHKeyPair.generate(comment: "").privateKey, to: bed.directory + "/key", mode: 0o600)
            let result = try await bed.sshResult(vm, endpoint, "true")
            #expect(result.ending == .exited(255) && result.errorText.contains("Permission denied (publickey)"))
        }
    }

    /// Through the forwarded port, as the gateway reaches it.
    @Test func theRunnerAnswersBehindSSH() async throws {
        try await TestBed.run { bed in
            let spec = try bed.spec("mlt-runner")
            let vm = try await bed.provider.create(spec, log: .none)
            let endpoint = try await bed.provider.start(vm.id)
            func ask(_ request: String) async throws -> String {
                let request = request.replacing("SECRET", with: spec.runnerSecret)
                let header = withUnsafeBytes(of: UInt32(request.utf8.count).littleEndian) { Array($0) }
                let bytes = ([1] + header).map { String(format: "\\x%02x", $0) }.joined()
                return try await bed.ssh(
                    vm, endpoint,
                    """
                    exec 3<>/dev/tcp/127.0.0.1/\(endpoint.runnerPort); printf '\(bytes)' >&3
                    cat >&3 <<'END_OF_REQUEST'
                    \(request)
                    END_OF_REQUEST
                    tr -c '[:print:]' ' ' <&3
                    """)
            }
            let ping = try await ask(#"{"secret":"SECRET","op":"ping"}"#)
            let confinement = try #require(ping.firstRange(of: #""confinement":{"#), "\(ping)")
            let walls = ping[confinement.upperBound...].prefix { $0 != "}" }.replacing(#""egress":false"#, with: "")
            #expect(!walls.contains("false"), "\(ping)")
            let run = try await ask(
                #"{"secret":"SECRET","language":"bash","code":"cat /proc/self/cgroup; echo $((6*7))"}"#)
            #expect(run.contains("42") && run.contains("/runs/") && run.contains(#""exitCode":0"#), "\(run)")
        }
    }

    @Test func anInitThatDiesLeavesAStoppedVM() async throws {
        try await TestBed.run { bed in
            let (vm, endpoint) = try await bed.running("mlt-killed")
            #expect(try await bed.ssh(vm, endpoint, "echo kept >file; (sleep 600 >/dev/null 2>&1 &)") == "")
            let machine = try LocalMachine(name: vm.name, configuration: bed.provider.configuration)
            kill(try #require(machine.initProcess), SIGKILL)
            try await eventually(describing: "the VM's end", read: { try await bed.provider.status(vm.id) }) {
                $0 == .stopped
            }
            try await eventually(describing: "no loop device", read: { bed.loopDevices }) { $0.isEmpty }
            #expect(machine.group.members().isEmpty)
            let second = try await bed.provider.start(vm.id)
            #expect(try await bed.ssh(vm, second, "cat file; ps -e | grep -c sleep || true") == "kept\n0")
        }
    }

    @Test func operationsMayBeCutOffAnywhereAndRepeated() async throws {
        try await TestBed.run { bed in
            let spec = try bed.spec("mlt-cut")
            let id = VMInstance.ID(rawValue: spec.name)
            func cut(after delay: Int, _ operation: @escaping @Sendable () async throws -> Void) async throws {
                let task = Task { try await operation() }
                try await Task.sleep(for: .milliseconds(delay))  // the moment of the cut is what is varied
                task.cancel()
                do { try await task.value } catch is CancellationError {}
            }
            for delay in [0, 2, 5, 10, 20, 40] {
                try await cut(after: delay) { _ = try await bed.provider.create(spec, log: .none) }
            }
            let vm = try await bed.provider.create(spec, log: .none)
            for delay in stride(from: 0, to: 120, by: 6) {
                try await cut(after: delay) { _ = try await bed.provider.start(id) }
                let status = try await bed.provider.status(id)
                #expect(status == .stopped || status == .running)
                try await cut(after: delay % 17) { try await bed.provider.stop(id) }
            }
            let endpoint = try await bed.provider.start(id)
            #expect(try await bed.ssh(vm, endpoint, "echo hi") == "hi")
            for delay in [0, 3, 10] { try await cut(after: delay) { try await bed.provider.destroy(id) } }
        }
    }

    /// As if the whole process had been killed between launching and taking note.
    @Test func halfAVMFromBeforeIsReplaced() async throws {
        try await TestBed.run { bed in
            let (vm, endpoint) = try await bed.running("mlt-half")
            let directory = VMDirectory(state: bed.directory + "/vms", name: vm.name)
            unlink(directory.processIdentifier)
            #expect(try await bed.provider.status(vm.id) == .stopped)
            let second = try await bed.provider.start(vm.id)
            #expect(second.port == endpoint.port)
            #expect(try await bed.ssh(vm, second, "ls /home/martlet/lost+found || echo hi") == "hi")
            try Files.write("nonsense", to: directory.record)
            #expect(try await bed.provider.list().map(\.state) == [.provisioning])
        }
    }

    @Test func manyStartAtOnce() async throws {
        try await TestBed.run { bed in
            let endpoints = try await withThrowingTaskGroup(of: VMEndpoint.self) { group in
                for number in 0..<10 {
                    group.addTask {
                        let (vm, endpoint) = try await bed.running("mlt-\(number)")
                        #expect(try await bed.ssh(vm, endpoint, "hostname") == vm.name)
                        return endpoint
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(endpoints.map(\.port)).count == 10)
            let first = VMInstance.ID(rawValue: "mlt-0")
            try await bed.provider.stop(first)
            let same = try await withThrowingTaskGroup(of: VMEndpoint.self) { group in
                for _ in 0..<5 { group.addTask { try await bed.provider.start(first) } }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(same.count == 1)
            let bases = Files.names(in: bed.directory + "/vms").compactMap {
                VMDirectory(state: bed.directory + "/vms", name: $0).loadIDs()?.base
            }
            #expect(Set(bases).count == 10)
        }
    }

    @Test func aHomeGrowsWithItsTier() async throws {
        try await TestBed.run { bed in
            var spec = try bed.spec("mlt-grow", diskMb: 64)
            let vm = try await bed.provider.create(spec, log: .none)
            let before = try await bed.provider.start(vm.id)
            #expect(try await bed.ssh(vm, before, "echo kept >file; echo hi") == "hi")
            spec.diskMb = 512
            _ = try await bed.provider.create(spec, log: .none)
            try await bed.provider.stop(vm.id)
            let after = try await bed.provider.start(vm.id)
            let seen = try await bed.ssh(
                vm, after, "cat file; df --output=size --block-size=1M ~ | tail -1 | tr -d ' '")
            #expect(seen.hasPrefix("kept\n") && (400...512).contains(Int(seen.dropFirst(5)) ?? 0), "\(seen)")
        }
    }

    @Test func aDamagedHomeIsRepairedOrLeftAlone() async throws {
        try await TestBed.run { bed in
            let (vm, before) = try await bed.running("mlt-damaged")
            #expect(try await bed.ssh(vm, before, "echo kept >file; echo hi") == "hi")
            try await bed.provider.stop(vm.id)
            let image = VMDirectory(state: bed.directory + "/vms", name: vm.name).homeImage
            let damage = try await ChildProcess.run(
                .init("debugfs", ["-w", "-R", "clri <8>", image]), deadline: .seconds(30))  // the journal
            #expect(damage.ending.isSuccess)
            let after = try await bed.provider.start(vm.id)
            #expect(try await bed.ssh(vm, after, "cat file") == "kept")

            try await bed.provider.stop(vm.id)
            let descriptor = open(image, O_WRONLY)
            #expect(pwrite(descriptor, [UInt8](repeating: 0, count: 1024), 1024, 1024) == 1024)  // the superblock
            close(descriptor)
            let error = await #expect(throws: ProviderError.self) { try await bed.provider.start(vm.id) }
            #expect(error?.code == .failed && error?.message.contains("e2fsck") == true, "\(String(describing: error))")
            #expect(try await bed.provider.status(vm.id) == .stopped)
        }
    }

    @Test func withoutLoopDevicesAHomeIsADirectory() async throws {
        try await TestBed.run(homes: .directory) { bed in
            let (vm, endpoint) = try await bed.running("mlt-plain")
            #expect(try await bed.ssh(vm, endpoint, "echo kept >file; stat -c %U .") == "martlet")
            try await bed.provider.stop(vm.id)
            let second = try await bed.provider.start(vm.id)
            #expect(try await bed.ssh(vm, second, "cat file") == "kept")
        }
    }

    @Test func aVMThatCannotStartSaysWhyAndLeavesNothing() async throws {
        try await TestBed.run { bed in
            var configuration = bed.provider.configuration
            configuration.sshd = "/usr/bin/false"
            configuration.startTimeout = .milliseconds(700)
            let broken = LocalProvider(configuration: configuration, logger: .init(label: "martlet.test"))
            let vm = try await broken.create(bed.spec("mlt-broken"), log: .none)
            let mute = await #expect(throws: ProviderError.self) { try await broken.start(vm.id) }
            #expect(mute?.code == .startTimeout && mute?.isRetryable == true)
            #expect(try await broken.status(vm.id) == .stopped)
            configuration.startTimeout = .seconds(20)
            configuration.runner = "/usr/bin/false"
            let failing = LocalProvider(configuration: configuration, logger: .init(label: "martlet.test"))
            let error = await #expect(throws: ProviderError.self) { try await failing.start(vm.id) }
            #expect(error?.code == .failed, "\(String(describing: error))")
            configuration.crun = "/usr/bin/false"
            let without = LocalProvider(configuration: configuration, logger: .init(label: "martlet.test"))
            await #expect(throws: ProviderError.self) { try await without.start(vm.id) }
            #expect(try await bed.provider.start(vm.id).port > 0)
        }
    }

    @Test func aWayOutIsThereWhereTheStartSaysSoAndEndsWithTheVM() async throws {
        try await TestBed.run { bed in
            try #require(bed.provider.configuration.egressProblem == nil, "libslirp-dev is missing, or the tun device")
            func programs(_ name: String) throws -> Int {
                try LocalMachine(name: name, configuration: bed.provider.configuration).group.members()
                    .filter { Files.text(of: "/proc/\($0)/comm") == "martlet-egress\n" }.count
            }
            let vm = try await bed.provider.create(bed.spec("mlt-network"), log: .none)
            for network in [true, false, true] {
                let endpoint = try await bed.provider.start(vm.id, network: network, log: .none)
                #expect(try programs("mlt-network") == (network ? 1 : 0))
                let resolver = try await bed.ssh(vm, endpoint, "cat /etc/resolv.conf")
                #expect(resolver.contains("nameserver 10.0.2.3") == network, "\(resolver)")
                // It is for runs: the VM itself has a loopback device as before.
                #expect(try await bed.ssh(vm, endpoint, "tail -n +3 /proc/net/dev | wc -l") == "1")
                #expect(try await bed.provider.start(vm.id) == endpoint)
                try await bed.provider.stop(vm.id)
                #expect(try programs("mlt-network") == 0)
            }
            // As the last start said, who says nothing has it.
            _ = try await bed.provider.start(vm.id)
            #expect(try programs("mlt-network") == 1)
        }
    }

    @Test func withoutItsProgramAVMStartsAndSaysThatThereIsNoWayOut() async throws {
        try await TestBed.run { bed in
            var configuration = bed.provider.configuration
            configuration.egress = "/nowhere/martlet-egress"
            #expect(LocalProvider.diagnoseEgress(configuration: configuration)?.contains("libslirp-dev") == true)
            let provider = LocalProvider(configuration: configuration, logger: .init(label: "martlet.test"))
            let vm = try await provider.create(bed.spec("mlt-without"), log: .none)
            let said = Mutex<[String]>([])
            let log = ProvisionLog { _, message in said.withLock { $0.append(message) } }
            let endpoint = try await provider.start(vm.id, network: true, log: log)
            #expect(said.withLock { $0 }.contains { $0.contains("no network") && $0.contains("libslirp-dev") })
            #expect(try await bed.ssh(vm, endpoint, "cat /etc/resolv.conf").isEmpty)
        }
    }

    @Test func whatCannotBeMadeIsRefused() async throws {
        try await TestBed.run { bed in
            func code(_ change: (inout VMSpec) -> Void) async throws -> ProviderError.Code? {
                var spec = try bed.spec("mlt-refused")
                change(&spec)
                do {
                    _ = try await bed.provider.create(spec, log: .none)
                    return nil
                } catch { return (error as? ProviderError)?.code }
            }
            for name in ["", "-a", "a/b", "..", "A", String(repeating: "a", count: 64), ".locks"] {
                #expect(try await code { $0.name = name } == .invalidSpec)
            }
            #expect(try await code { $0.memoryMb = 0 } == .invalidSpec)
            #expect(try await code { $0.authorizedKeys = ["a\nb"] } == .invalidSpec)
            #expect(try await code { $0.runnerSecret = "x" } == .invalidSpec)
            #expect(try await bed.provider.list().isEmpty)
            #expect(try await bed.provider.status(VMInstance.ID(rawValue: "mlt-none")) == .missing)
            try await bed.provider.destroy(VMInstance.ID(rawValue: "mlt-none"))
        }
    }

    @Test func whatIsMissingOnThisMachineIsSaid() async throws {
        var configuration = LocalHost.configuration("/tmp")
        #expect(await LocalProvider.diagnose(configuration: configuration).isEmpty)
        configuration.crun = "crun-not-here"
        configuration.runner = "/nowhere/runner"
        configuration.sshd = "/opt/sshd"
        let problems = await LocalProvider.diagnose(configuration: configuration)
        #expect(problems.contains { $0.contains("Debian package crun") })
        #expect(problems.contains { $0.contains("make runner") })
        #expect(problems.contains { $0.contains("below /usr") })
    }
}
