import Cryptography
import EventLoop
import Foundation
import Logging
import TestSupport
import Testing

@testable import Providers

/// The local provider on this machine, with the runner built from the sources. Where it cannot work the tests are left
/// out with a printed reason, and fail in continuous integration.
struct LocalHost: SuiteTrait, TestScoping {
    @TaskLocal static var runner = ""

    static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        let build = try await ChildProcess.run(
            .init("make", ["-C", Self.repository + "/sandbox"]), deadline: .seconds(300))
        try #require(build.ending.isSuccess, "the runner was not built: \(build.errorText)")
        let runner = Self.repository + "/.build/sandbox/martlet-runner"
        let problems = await LocalProvider.diagnose(configuration: Self.configuration("/tmp", runner: runner))
        guard problems.isEmpty || ProcessInfo.processInfo.environment["CI"] != nil else {
            return print("skipped: \(test.name), for the local provider cannot work here: \(problems)")
        }
        try #require(problems.isEmpty)
        try await Self.$runner.withValue(runner) { try await tests() }
    }

    static func configuration(_ state: String, runner: String = Self.runner) -> LocalProvider.Configuration {
        LocalProvider.Configuration(stateDirectory: state, runner: runner, runtimes: repository + "/runtimes")
    }
}

/// A provider with a state directory of its own, and a key for the VMs made by ``spec(_:)``. When the closure has
/// ended all VMs are destroyed, and nothing of them may be left on this machine.
struct TestBed: Sendable {
    let provider: LocalProvider
    let directory: String
    let key: SSHKeyPair

    static func run(
        homes: LocalProvider.Configuration.Homes = .imageWherePossible, _ body: (TestBed) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            var configuration = LocalHost.configuration(directory + "/vms")
            configuration.homes = homes
            try FileManager.default.createDirectory(
                atPath: configuration.stateDirectory, withIntermediateDirectories: true)
            let bed = TestBed(
                provider: LocalProvider(configuration: configuration, logger: Logger(label: "martlet.test")),
                directory: directory, key: try SSHKeyPair.generate(comment: "test"))
            try Files.write(bed.key.privateKey, to: directory + "/key", mode: 0o600)
            do { try await body(bed) } catch { Issue.record(error) }
            for vm in try await bed.provider.list() { try await bed.provider.destroy(vm.id) }
            #expect(bed.traces().isEmpty)
        }
    }

    /// What of the VMs is left on this machine.
    func traces() -> [String] {
        var traces = Files.names(in: directory + "/vms").filter { $0 != ".locks" }
        traces += Files.names(in: directory + "/vms/.locks").filter { $0 != ".ids" }.map { "lock \($0)" }
        traces += (Files.text(of: "/proc/mounts") ?? "").split(separator: "\n").map(String.init)
            .filter { $0.contains(directory) }
        traces += loopDevices
        let scope = SHA256.hex(directory + "/vms").prefix(8)
        for root in ControlGroupHierarchy.detect()?.roots ?? [] where Files.exists("\(root)/martlet/\(scope)") {
            traces.append("\(root)/martlet/\(scope)")
        }
        for process in Files.names(in: "/proc") {
            if Files.text(of: "/proc/\(process)/cgroup")?.contains("/martlet/\(scope)/") == true {
                traces.append("process \(process): \(Files.text(of: "/proc/\(process)/comm") ?? "")")
            }
        }
        traces += Files.names(in: "/proc/self/fd")
            .compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") }
            .filter { $0.hasPrefix(directory) }
        return traces
    }

    var loopDevices: [String] {
        Files.names(in: "/sys/block").compactMap { Files.text(of: "/sys/block/\($0)/loop/backing_file") }
            .filter { $0.hasPrefix(directory) }
    }

    func spec(_ name: String, diskMb: Int = 256) throws -> VMSpec {
        VMSpec(
            name: name, vcpus: 1, memoryMb: 512, diskMb: diskMb, processes: 100, authorizedKeys: [key.publicKey],
            hostKey: try SSHKeyPair.generate(comment: name), runnerSecret: try Random.hex(32))
    }

    /// Creates and starts a VM.
    func running(_ name: String) async throws -> (vm: VMInstance, endpoint: VMEndpoint) {
        let vm = try await provider.create(spec(name), log: .none)
        return (vm, try await provider.start(vm.id))
    }

    /// What the ordinary `ssh` prints, with the VM's host key pinned.
    func ssh(_ vm: VMInstance, _ endpoint: VMEndpoint, _ command: String) async throws -> String {
        let result = try await sshResult(vm, endpoint, command)
        if !result.ending.isSuccess { throw SSHFailed(description: "\(result.ending): \(result.errorText)") }
        return result.text.trimmingCharacters(in: .newlines)
    }

    func sshResult(
        _ vm: VMInstance, _ endpoint: VMEndpoint, _ command: String
    ) async throws -> ChildProcess.Output {
        let record = try #require(VMDirectory(state: directory + "/vms", name: vm.name).loadRecord())
        let known = "\(directory)/known-\(vm.name)-\(endpoint.port)"
        try Files.write("[\(endpoint.host)]:\(endpoint.port) \(record.spec.hostKey.publicKey)\n", to: known)
        return try await ChildProcess.run(
            .init(
                "ssh",
                [
                    "-F", "none", "-p", String(endpoint.port), "-i", directory + "/key", "-o", "BatchMode=yes",
                    "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=\(known)", "-o", "LogLevel=ERROR",
                    "\(endpoint.user)@\(endpoint.host)", command,
                ]), deadline: .seconds(30))
    }

    struct SSHFailed: Error, CustomStringConvertible { let description: String }
}
