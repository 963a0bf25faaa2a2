import Cryptography
import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

@testable import Providers

extension Docker {
    /// Several at once, and what is left when somebody dies half-way.
    @Suite struct ConcurrencyTests {
        @Test func twentyMadeAtOnceByTwoProcessesHaveTwentyPorts() async throws {
            try await DockerBed.run { bed in
                let providers = [bed.provider, bed.other()]
                let endpoints = try await withThrowingTaskGroup(of: VMEndpoint.self) { group in
                    for number in 0..<20 {
                        group.addTask {
                            let provider = providers[number % 2]
                            let vm = try await provider.create(bed.spec("mlt-\(number)"), log: .none)
                            let endpoint = try await provider.start(vm.id)
                            #expect(try await bed.ssh(vm.name, endpoint, "hostname").text == vm.name)
                            // Stopped, it keeps its port.
                            if number % 3 == 0 { try await provider.stop(vm.id) }
                            return endpoint
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(Set(endpoints.map(\.port)).count == 20)
                #expect(try await bed.provider.list().count == 20)
                #expect(try await bed.provider.list().filter { $0.state == .stopped }.count == 7)
                let volumes = try await bed.provider.engine.volumes(label: Blueprint.Label.port)
                #expect(volumes.count == 20)
            }
        }

        @Test func oneVMMadeByManyAtOnceIsOne() async throws {
            try await DockerBed.run { bed in
                let spec = try await bed.spec("mlt-same")
                let providers = (0..<6).map { _ in bed.other() }
                let made = try await withThrowingTaskGroup(of: VMInstance.self) { group in
                    for provider in providers { group.addTask { try await provider.create(spec, log: .none) } }
                    return try await group.reduce(into: Set()) { $0.insert($1) }
                }
                #expect(made.count == 1)
                let started = try await withThrowingTaskGroup(of: VMEndpoint.self) { group in
                    for provider in providers {
                        group.addTask { try await provider.start(VMInstance.ID(rawValue: "mlt-same")) }
                    }
                    return try await group.reduce(into: Set()) { $0.insert($1) }
                }
                #expect(started.count == 1)
                #expect(try await bed.provider.engine.volumes(label: Blueprint.Label.port).count == 1)
                let networks = try await bed.engine.call("GET", "/networks").text
                #expect(networks.matches(of: /"Name":"martlet-isolated"/).count == 1)
            }
        }

        @Test func operationsMayBeCutOffAnywhereAndRepeated() async throws {
            try await DockerBed.run { bed in
                let spec = try await bed.spec("mlt-cut")
                let id = VMInstance.ID(rawValue: spec.name)
                func cut(after delay: Int, _ operation: @escaping @Sendable () async throws -> Void) async throws {
                    let task = Task { try await operation() }
                    try await Task.sleep(for: .milliseconds(delay))  // the moment of the cut is what is varied
                    task.cancel()
                    do { try await task.value } catch is CancellationError {}
                }
                for delay in [0, 5, 10, 15, 20, 25, 30, 40] {
                    try await cut(after: delay) { _ = try await bed.provider.create(spec, log: .none) }
                    if delay.isMultiple(of: 10) { try await cut(after: delay) { try await bed.provider.destroy(id) } }
                }
                #expect(try await bed.provider.create(spec, log: .none).state == .stopped)
                for delay in stride(from: 0, to: 400, by: 50) {
                    try await cut(after: delay) { _ = try await bed.provider.start(id) }
                    try await cut(after: delay / 3) { try await bed.provider.stop(id) }
                }
                let endpoint = try await bed.provider.start(id)
                #expect(try await bed.ssh(spec.name, endpoint, "echo hi").text == "hi")
            }
        }

        /// As if the process had been killed between making the container and giving it its keys.
        @Test func aVMHalfMadeIsSeenAsSuchAndCompleted() async throws {
            try await DockerBed.run { bed in
                let spec = try await bed.spec("mlt-half")
                let vm = try await bed.provider.create(spec, log: .none)
                let inspection = try #require(try await bed.provider.engine.container(spec.name))
                func halve() async throws {
                    try await bed.provider.engine.removeContainer(spec.name)
                    try await bed.provider.engine.createContainer(spec.name, ContainerRequest(inspection))
                }
                try await halve()
                #expect(try await bed.provider.status(vm.id) == .provisioning)
                #expect(try await bed.provider.list().map(\.state) == [.provisioning])
                #expect(try await bed.provider.create(spec, log: .none).state == .stopped)
                let endpoint = try await bed.provider.start(vm.id)
                #expect(try await bed.ssh(spec.name, endpoint, "echo hi").text == "hi")

                try await halve()
                let error = await #expect(throws: ProviderError.self) { try await bed.provider.start(vm.id) }
                #expect(error?.code == .missing && error?.isRetryable == true)
                #expect(try await bed.provider.status(vm.id) == .missing)
                #expect(try await bed.provider.create(spec, log: .none).state == .stopped)
            }
        }

        /// A name taken by somebody else's container is neither used nor harmed.
        @Test func aContainerThatIsNotOursIsLeftAlone() async throws {
            try await DockerBed.run { bed in
                try await bed.engine.call(
                    "POST", "/containers/create?name=mlt-foreign",
                    json: #"{"Image": "\#(DockerEngine.image)", "Cmd": ["sleep", "1"]}"#)
                let id = VMInstance.ID(rawValue: "mlt-foreign")
                #expect(try await bed.provider.status(id) == .missing)
                #expect(try await bed.provider.list().isEmpty)
                let error = await #expect(throws: ProviderError.self) {
                    try await bed.provider.create(bed.spec("mlt-foreign"), log: .none)
                }
                #expect(error?.message.contains("not Martlet's") == true, "\(String(describing: error))")
                try await bed.provider.destroy(id)
                #expect(try await bed.engine.call("GET", "/containers/mlt-foreign/json").status == 200)
                try await bed.engine.call("DELETE", "/containers/mlt-foreign")
            }
        }
    }

    /// What happens around a VM: other programs, the engine itself.
    @Suite struct MishapTests {
        @Test func aPortThatIsTakenIsExchangedForAnother() async throws {
            try await DockerBed.run { bed in
                let (vm, endpoint) = try await bed.running("mlt-moved")
                #expect(try await bed.ssh(vm.name, endpoint, "echo kept >file; echo hi").text == "hi")
                try await bed.provider.stop(vm.id)
                var place = SocketAddress.loopback(port: endpoint.port)
                let thief = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
                defer { close(thief) }
                var one: Int32 = 1
                setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
                #expect(withSocketAddress(&place) { bind(thief, $0, $1) } == 0 && listen(thief, 1) == 0)

                let next = try await bed.provider.create(bed.spec("mlt-next"), log: .none)
                let moved = try await bed.provider.start(vm.id)
                #expect(moved.port != endpoint.port)
                #expect(try await bed.ssh(vm.name, moved, "cat file").text == "kept")
                #expect(try await bed.provider.start(next.id).port != moved.port)
                try await bed.provider.stop(vm.id)
                #expect(try await bed.provider.start(vm.id) == moved)
            }
        }

        @Test func anEngineThatComesBackBringsWhatRan() async throws {
            try await DockerBed.run { bed in
                let (on, endpoint) = try await bed.running("mlt-on")
                let (off, _) = try await bed.running("mlt-off")
                #expect(try await bed.ssh("mlt-on", endpoint, "echo kept >file; echo hi").text == "hi")
                try await bed.provider.stop(off.id)
                try await bed.engine.stop()
                let error = await #expect(throws: ProviderError.self) { try await bed.provider.status(on.id) }
                #expect(error?.code == .unavailable && error?.isRetryable == true)

                try await bed.engine.start()
                try await eventually(
                    within: .seconds(30), describing: "the VM running again",
                    read: { try await bed.provider.status(on.id) }, until: { $0 == .running })
                #expect(try await bed.provider.start(on.id) == endpoint)
                #expect(try await bed.ssh("mlt-on", endpoint, "cat file").text == "kept")
                #expect(try await bed.provider.status(off.id) == .stopped)
                _ = try await bed.provider.start(off.id)

                try await bed.engine.kill()
                try await bed.engine.start()
                // After its own crash an engine ends the containers that have outlived it.
                #expect(try await bed.provider.start(on.id) == endpoint)
                #expect(try await bed.ssh("mlt-on", endpoint, "cat file").text == "kept")
                #expect(try await bed.provider.start(off.id).port != endpoint.port)
            }
        }

        @Test func aPausedVMWakes() async throws {
            try await DockerBed.run { bed in
                let (vm, endpoint) = try await bed.running("mlt-paused")
                try await bed.engine.call("POST", "/containers/mlt-paused/pause")
                #expect(try await bed.provider.status(vm.id) == .stopped)
                #expect(try await bed.provider.start(vm.id) == endpoint)
                #expect(try await bed.ssh("mlt-paused", endpoint, "echo hi").text == "hi")
            }
        }

        @Test func aVMThatCannotStartSaysWhyAndIsStopped() async throws {
            try await DockerBed.run { bed in
                let spec = try await bed.spec("mlt-broken")
                let vm = try await bed.provider.create(spec, log: .none)
                var archive = TarArchive()
                try archive.addFile("martlet/runner.json", "nonsense", mode: 0o600)
                try await bed.provider.engine.putArchive(archive.finished(), into: "/etc", of: spec.name)
                let error = await #expect(throws: ProviderError.self) { try await bed.provider.start(vm.id) }
                #expect(error?.code == .failed && error?.message.contains("runner.json") == true, "\(error as Any)")
                #expect(try await bed.provider.status(vm.id) == .stopped)
                // Made again from its spec it works.
                _ = try await bed.provider.create(spec, log: .none)
                #expect(try await bed.provider.start(vm.id).port > 0)
            }
        }

        @Test func aHealthCheckLooksAtTheSSHServer() async throws {
            try await DockerBed.run { bed in
                _ = try await bed.running("mlt-health")
                let image = try await bed.engine.call("GET", "/images/\(DockerEngine.image)/json").text
                let script = try #require(image.firstMatch(of: /"Healthcheck":\{"Test":(\[.*?"\]),"Interval"/)).1
                let words = try JSONDecoder().decode([String].self, from: Data(script.utf8)).dropFirst()
                let command = String(decoding: try JSONEncoder().encode(Array(words)), as: UTF8.self)
                let made = try await bed.engine.call(
                    "POST", "/containers/mlt-health/exec", json: #"{"AttachStdout": true, "Cmd": \#(command)}"#)
                let id = try #require(made.text.firstMatch(of: /"Id":"([0-9a-f]+)"/)).1
                try await bed.engine.call("POST", "/exec/\(id)/start", json: #"{"Detach": false}"#)
                #expect(try await bed.engine.call("GET", "/exec/\(id)/json").text.contains(#""ExitCode":0"#))
                let logged = try await bed.provider.logs(VMInstance.ID(rawValue: "mlt-health"), lines: 20)
                #expect(logged.allSatisfy { $0.hasPrefix("martlet-runner") }, "\(logged)")
            }
        }

        @Test func anEngineIsSpokenToOverTLSByWhoeverHasACertificate() async throws {
            let engine = LiveDocker.engine
            let (host, certificates) = engine.tls
            let address = try EngineAddress(host, isVerified: true, certificates: certificates)
            #expect(await DockerProvider.diagnose(configuration: .init(engine: address)).isEmpty)
            let nameless = try EngineAddress(host, isVerified: true, certificates: "/nowhere")
            #expect(await DockerProvider.diagnose(configuration: .init(engine: nameless)).first != nil)
            let plain = try EngineAddress(host)
            #expect(await DockerProvider.diagnose(configuration: .init(engine: plain)).first != nil)
        }

        @Test func whatIsMissingInTheEngineIsSaid() async throws {
            let engine = LiveDocker.engine
            var configuration = DockerProvider.Configuration(engine: try EngineAddress(engine.host))
            #expect(await DockerProvider.diagnose(configuration: configuration).isEmpty)
            let description = try #require(await DockerProvider.describe(configuration: configuration))
            #expect(description.contains("API 1.") && description.contains("bash,python"), "\(description)")
            configuration.image = "martlet/none:latest"
            #expect(await DockerProvider.diagnose(configuration: configuration).first?.contains("image build") == true)
            configuration.image = "martlet/debian:bookworm"
            #expect(await DockerProvider.diagnose(configuration: configuration).first?.contains("anew") == true)
            configuration.engine = try EngineAddress("unix:///nowhere/docker.sock")
            #expect(await DockerProvider.diagnose(configuration: configuration).first?.contains("nowhere") == true)
        }
    }
}
