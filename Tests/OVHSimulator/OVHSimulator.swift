import Cryptography
import EventLoop
package import Foundation
package import Logging

/// A pretended OVHcloud: the part of the API that makes and runs Public Cloud instances, on a port of loopback.
///
/// It checks keys, time and signatures, answers in OVH's words and shapes, keeps instances in OVH's states for as long
/// as it is told, and goes wrong on demand (``Fault``, in this process or by `POST /simulator/faults`). Behind each
/// instance's address of 127.0.0.0/8 stands a ``Machine`` that boots with the instance's user data, or a mere greeting.
/// Nothing in a client needs to know: endpoint and SSH port are ordinary settings.
package final class OVHSimulator: Sendable {
    package struct Options: Sendable {
        package var port = 0  // any free one
        package var sshPort = 2_222  // of all instances
        package var guests = Guests.machines
        package var directory: String?  // of the machines' layers, on an ordinary file system; else a temporary one
        package var buildTime = Duration.seconds(2)  // in BUILD
        package var powerTime = Duration.seconds(1)  // until a stop or start shows
        package var deleteTime = Duration.milliseconds(500)  // in DELETING
        package var maxInstances = 20
        package var clock: any Clock<Duration> = ContinuousClock()
        package var now: @Sendable () -> Date = { Date() }
        package var logger = Logger(label: "martlet.ovh-simulator") { _ in SwiftLogNoOpLogHandler() }

        package init() {}
    }

    package let applicationKey: String
    package let applicationSecret: String
    package let consumerKey: String
    package let projectID: String
    package let sshPort: Int
    package let port: Int
    let project: Project

    private init(gatekeeper: Gatekeeper, project: Project, projectID: String, options: Options, port: Int) {
        applicationKey = gatekeeper.applicationKey
        applicationSecret = gatekeeper.applicationSecret
        consumerKey = gatekeeper.consumerKey
        self.projectID = projectID
        self.project = project
        sshPort = options.sshPort
        self.port = port
    }

    /// What it cannot work without on this machine, each with what to do.
    package static var problems: [String] { Machine.problems }

    package var url: String { "http://127.0.0.1:\(port)/1.0" }

    /// What a client is to be configured with.
    package var environment: [String: String] {
        [
            "VM_PROVIDER": "ovh", "OVH_ENDPOINT": url, "OVH_APPLICATION_KEY": applicationKey,
            "OVH_APPLICATION_SECRET": applicationSecret, "OVH_CONSUMER_KEY": consumerKey,
            "OVH_CLOUD_PROJECT_SERVICE": projectID, "OVH_REGION": "GRA11", "OVH_SSH_PORT": String(sshPort),
        ]
    }

    /// Runs one while `body` does; then its machines are gone. Throws at once where the SSH port is another program's.
    package static func withRunning<Result: Sendable>(
        _ options: Options = Options(), _ body: (OVHSimulator) async throws -> Result
    ) async throws -> Result {
        let gatekeeper = Gatekeeper(
            applicationKey: try Random.hex(8), applicationSecret: try Random.hex(16), consumerKey: try Random.hex(16))
        let projectID = try Random.hex(16)
        var template = Array("/var/tmp/ovh-simulator-XXXXXX".utf8CString)
        guard options.directory != nil || mkdtemp(&template) != nil else { throw POSIXError(.EIO) }
        let temporary = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
        let project = Project(
            id: projectID, options: options, gatekeeper: gatekeeper, directory: options.directory ?? temporary)
        let port = Waiter<Int>()
        let result: Swift.Result<Result, any Error>
        do {
            try await project.checkPort()
            result = .success(
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        do {
                            try await Front.serve(port: options.port) {
                                port.resume(with: .success($0))
                            } _: {
                                try await project.answer($0)
                            }
                        } catch {
                            port.resume(with: .failure(error))
                        }
                    }
                    defer { group.cancelAll() }
                    return try await body(
                        OVHSimulator(
                            gatekeeper: gatekeeper, project: project, projectID: projectID, options: options,
                            port: try await port.value()))
                })
        } catch {
            result = .failure(error)
        }
        await Task { await project.shutDown() }.value  // also when cancelled
        if options.directory == nil { try? FileManager.default.removeItem(atPath: temporary) }
        return try result.get()
    }

    // MARK: For tests

    package func inject(_ fault: Fault) async { await project.inject(fault) }

    package func clearFaults() async { await project.clearFaults() }

    /// Calls of a method and path pattern (as in ``Fault/route``) that came in, also those that went wrong.
    package func calls(_ route: String) async -> Int { await project.calls(matching: route) }

    /// Everything that came in, as "GET /cloud/project/…".
    package func history() async -> [String] { await project.history }

    /// Names and states of the instances there are.
    package func instances() async -> [String: [String]] { await project.summary() }

    package func sshKeyNames() async -> [String] { await project.keyNames() }

    package func userData(of name: String) async -> String? { await project.userData(of: name) }

    /// Changes what the server believes to be the time.
    package func setClock(ahead seconds: Int) async { await project.setClock(ahead: seconds) }
}
