import EventLoop
import Foundation
package import Logging

/// VMs that are instances of an OVHcloud Public Cloud project, one each, of the same name.
///
/// `create` finds what there is of the name, else chooses flavour and image, and orders an instance whose user data
/// (``CloudInit``) pins the host key and lets the environment's key in; it returns when the instance is active and has
/// a public IPv4 address. So here, unlike elsewhere, a VM runs when it is made. `POST /instance` is the one call that
/// costs money and that OVH does not guard: it is sent once, and before it could be sent again the project is looked
/// through for the name (`OVHProvider+Ordering.swift`). Whatever fails after it removes what was ordered; cancellation
/// does not, for a job that is cut off is repeated, and the repetition finds the instance by its name.
///
/// An id is OVH's, or the VM's name where only that is known. Instances whose names do not begin with the prefix are
/// other people's: they are neither listed nor touched.
package final class OVHProvider: VMProvider {
    package let kind = ProviderKind.ovh
    let configuration: OVHConfiguration
    let client: OVHClient
    let logger: Logger
    let flavorCache: AgingCache<[OVHFlavor]>
    let imageCache: AgingCache<[OVHImage]>
    let regionCache: AgingCache<[String]>
    private let turns = Turns()
    private let sightings: AgingCache<[OVHInstance]>
    /// The packages of the languages, installed in each instance after its first boot.
    let packages: [String]

    package init(configuration: OVHConfiguration, packages: [String] = [], logger: Logger) {
        self.configuration = configuration
        self.packages = packages
        self.logger = logger
        client = OVHClient(configuration: configuration, logger: logger)
        flavorCache = AgingCache(age: configuration.catalogAge, clock: configuration.clock)
        imageCache = AgingCache(age: configuration.catalogAge, clock: configuration.clock)
        regionCache = AgingCache(age: configuration.catalogAge, clock: configuration.clock)
        sightings = AgingCache(age: .seconds(2), clock: configuration.clock)
    }

    // MARK: VMProvider

    package func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance {
        try spec.validate()
        guard spec.name.hasPrefix(configuration.namePrefix) else {
            throw ProviderError.invalidSpec(
                "'\(spec.name)' is no name for an OVH instance",
                hint: "Names begin with '\(configuration.namePrefix)': that tells ours from others'.")
        }
        return try await turn(spec.name, "VM '\(spec.name)' not made") {
            try await self.made(spec, log).vm
        }
    }

    package func start(_ id: VMInstance.ID) async throws -> VMEndpoint {
        let found = try await existing(id, "VM '\(id)' not started")
        return try await turn(found.name, "VM '\(found.name)' not started") {
            let running = try await self.move(found.id, named: found.name, to: .running)
            guard let endpoint = self.endpoint(of: running) else { throw self.noAddress(found.name) }
            try await self.awaitGreeting(of: endpoint, name: found.name)
            return endpoint
        }
    }

    package func stop(_ id: VMInstance.ID) async throws {
        let found = try await existing(id, "VM '\(id)' not stopped")
        try await turn(found.name, "VM '\(found.name)' not stopped") {
            _ = try await self.move(found.id, named: found.name, to: .stopped)
        }
    }

    package func destroy(_ id: VMInstance.ID) async throws {
        let undone = "VM '\(id)' not destroyed"
        let name = try await translating(undone) { try await self.resolve(id) }?.name ?? id.rawValue
        guard name.hasPrefix(configuration.namePrefix) else { return }  // gone, and its name with it
        try await turn(name, undone) { try await self.remove(name) }
    }

    package func status(_ id: VMInstance.ID) async throws -> VMStatus {
        try await translating("State of VM '\(id)' not read") { try await self.seen(id)?.vmStatus ?? .missing }
    }

    package func list() async throws -> [VMInstance] {
        try await translating("VMs not listed") {
            try await self.managed().filter { $0.meaning != .gone && $0.meaning != .goingAway }.map(\.vm)
        }
    }

    package func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint? {
        try await translating("Address of VM '\(id)' not read") {
            try await self.seen(id).flatMap { $0.meaning == .running ? self.endpoint(of: $0) : nil }
        }
    }

    package func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String] {
        throw ProviderError(
            .notSupported, "OVH does not give out what VM '\(id)' writes to its console.",
            hint: "Read it in the VM: journalctl -u martlet-runner -u ssh.")
    }

    // MARK: Finding

    /// The instance of that id or name; `nil` if there is none, or if it is not ours.
    func resolve(_ id: VMInstance.ID) async throws -> OVHInstance? {
        if id.rawValue.hasPrefix(configuration.namePrefix) { return try await all(named: id.rawValue).first }
        guard let found = try await client.instance(id.rawValue), isOurs(found), found.meaning != .gone else {
            return nil
        }
        return found
    }

    private func existing(_ id: VMInstance.ID, _ undone: String) async throws -> OVHInstance {
        guard let found = try await translating(undone, { try await self.resolve(id) }) else {
            throw ProviderError(
                .missing, "\(undone): there is no instance of ours by that id.", hint: "Create it anew.")
        }
        return found
    }

    /// The instances of exactly this name, the one to keep first: whole before half made, then the oldest.
    func all(named name: String) async throws -> [OVHInstance] {
        func rank(_ instance: OVHInstance) -> Int {
            switch instance.meaning {
            case .running, .stopped, .parked: 0
            case .provisioning, .unclear: 1
            case .broken, .goingAway, .gone: 2
            }
        }
        return try await managed().filter { $0.name == name && $0.meaning != .gone }.sorted {
            (rank($0), $0.created ?? "", $0.id) < (rank($1), $1.created ?? "", $1.id)
        }
    }

    private func managed() async throws -> [OVHInstance] {
        let instances = try await client.instances().filter(isOurs)
        await sightings.keep(instances, for: "")
        return instances
    }

    private func isOurs(_ instance: OVHInstance) -> Bool { instance.name.hasPrefix(configuration.namePrefix) }

    /// For those who look at every VM, one after the other: an instance that was seen running within the last two
    /// seconds is believed to run, everything else is asked for.
    private func seen(_ id: VMInstance.ID) async throws -> OVHInstance? {
        func match(_ instances: [OVHInstance]) -> OVHInstance? {
            instances.first { ($0.id == id.rawValue || $0.name == id.rawValue) && $0.meaning == .running }
        }
        if let known = await sightings.value(for: ""), let running = match(known) { return running }
        if let running = match(try await managed()) { return running }
        return try await resolve(id)
    }

    func endpoint(of instance: OVHInstance) -> VMEndpoint? {
        instance.publicIPv4.map {
            VMEndpoint(host: $0, port: configuration.sshPort, user: CloudInit.user, runnerPort: CloudInit.runnerPort)
        }
    }

    // MARK: Taking turns

    /// One operation at a time at each name, in this process. Between processes the job queue sees to that, and what
    /// slips through is settled by looking at the instances of the name again. What was seen before is not believed after.
    private func turn<Result: Sendable>(
        _ name: String, _ undone: String, _ body: @escaping () async throws -> Result
    ) async throws -> Result {
        try await turns.take(name) {
            await sightings.forget()
            do {
                let result = try await translating(undone, body)
                await sightings.forget()
                return result
            } catch {
                await sightings.forget()
                throw error
            }
        }
    }

    private func translating<Result>(_ undone: String, _ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as OVHError {
            logger.warning("\(undone)", metadata: ["error": "\(error)"])
            throw ProviderError(error, undone)
        }
    }
}

/// Values by key that are forgotten when they have reached an age.
actor AgingCache<Value: Sendable> {
    private let age: Duration
    private let elapsed: @Sendable () -> Duration
    private var values: [String: (value: Value, at: Duration)] = [:]
    private var making: [String: Task<Value, any Error>] = [:]

    init(age: Duration, clock: any Clock<Duration>) {
        self.age = age
        elapsed = stopwatch(of: clock)
    }

    func value(for key: String) -> Value? {
        guard let known = values[key], elapsed() - known.at < age else { return nil }
        return known.value
    }

    /// The value, or what `make` makes now. Those who want it at the same time share one making.
    func value(for key: String, _ make: @escaping @Sendable () async throws -> Value) async throws -> Value {
        if let known = value(for: key) { return known }
        let task = making[key] ?? Task { try await make() }  // not a child of the caller: others wait for it too
        making[key] = task
        let result = await task.result
        if making[key] == task {
            making[key] = nil
            if case .success(let value) = result { keep(value, for: key) }
        }
        return try result.get()
    }

    func keep(_ value: Value, for key: String) { values[key] = (value, elapsed()) }
    func forget() { (values, making) = ([:], [:]) }
}
