import Cryptography
import EventLoop
import Foundation
import Logging

/// The state of the one project, and its answers. Moves of instances that take time are made when somebody looks.
actor Project {
    struct Instance: Sendable {
        let id: String
        let name: String
        let region: String
        let flavor: JSON
        let image: JSON
        let sshKey: JSON
        let userData: String
        let address: String
        let created: Date
        let guest: Guest
        var status = "BUILD"
        var hasAddress = true
        var next: (status: String, at: Duration)?
    }

    struct SSHKey: Sendable {
        let id: String
        let name: String
        let publicKey: String
        let regions: [String]

        var json: JSON {
            [
                "id": .text(id), "name": .text(name), "publicKey": .text(publicKey), "fingerPrint": "00:11:22:33",
                "regions": .list(regions.map(JSON.text)),
            ]
        }
    }

    let id: String
    let options: OVHSimulator.Options
    private let gatekeeper: Gatekeeper
    private let directory: String
    private let elapsed: @Sendable () -> Duration
    private let network: String  // "127.x.y."
    private var lastAddress = 0
    private var lastQuery = 0
    private var clockAhead = 0
    private var faults = FaultBook()
    private(set) var history: [String] = []
    var instances: [String: Instance] = [:]
    var keys: [SSHKey] = []

    init(id: String, options: OVHSimulator.Options, gatekeeper: Gatekeeper, directory: String) {
        self.id = id
        self.options = options
        self.gatekeeper = gatekeeper
        self.directory = directory
        elapsed = stopwatch(of: options.clock)
        network = "127.\(Int.random(in: 16...250)).\(Int.random(in: 0...255))."
    }

    // MARK: Answering

    /// `nil`: the connection is to be dropped.
    func answer(_ request: Request) async throws -> Reply? {
        let path = request.uri.split(separator: "?", omittingEmptySubsequences: false)[0]
        if path.hasPrefix("/simulator/") { return try control(request, String(path)) }
        guard path.hasPrefix("/1.0/") || path.hasPrefix("/v2/") else {
            return try reply(Refusal(404, code: "INVALID_URL", "Got an invalid (or empty) URL"))
        }
        let parts = path.split(separator: "/").drop { $0 == "1.0" }.map { $0.removingPercentEncoding ?? String($0) }
        if history.count < 10_000 { history.append("\(request.method) /\(parts.joined(separator: "/"))") }
        let fault = faults.next(request.method, parts)
        if let delay = fault?.delayMs { try await Task.sleep(for: .milliseconds(delay)) }
        if fault?.drop == .before { return nil }
        if let status = fault?.status {
            var refusal = Refusal(status, code: fault?.errorCode ?? "SIMULATED", "This failure was asked for")
            refusal.retryAfter = fault?.retryAfter
            var answer = try reply(refusal)
            if let body = fault?.body { answer.body = Array(body.utf8) }
            return answer
        }
        let answer: Reply
        do {
            if parts != ["auth", "time"], let refusal = gatekeeper.refusal(of: request, at: time) { throw refusal }
            let body = try await route(request, parts, fault?.build)
            answer = Reply(status: 200, headers: headers(), body: try body.bytes)
        } catch let refusal as Refusal {
            answer = try reply(refusal)
        }
        return fault?.drop == .after ? nil : answer
    }

    private func headers() -> [(String, String)] {
        lastQuery += 1
        return [("Content-Type", "application/json; charset=utf-8"), ("X-Ovh-QueryID", "SIM.\(lastQuery)")]
    }

    private func reply(_ refusal: Refusal) throws -> Reply {
        let pause = refusal.retryAfter.map { [("Retry-After", String($0))] } ?? []
        return Reply(status: refusal.status, headers: headers() + pause, body: try refusal.body.bytes)
    }

    var time: Int { Int(options.now().timeIntervalSince1970.rounded(.down)) + clockAhead }

    private func route(_ request: Request, _ parts: [String], _ build: Fault.Build?) async throws -> JSON {
        let query = URLComponents(string: request.uri)?.queryItems ?? []
        func parameter(_ name: String) -> String? { query.first { $0.name == name }?.value }
        switch (request.method, parts.count > 1 ? parts[0] + "/" + parts[1] : parts.first ?? "") {
        case ("GET", "auth/time"): return JSON(time)
        case ("GET", "me"): return ["nichandle": "xx0000-ovh", "email": "simulator@example.org", "currency": nil]
        case ("GET", "cloud/project") where parts.count == 2: return [.text(id)]
        case (_, "cloud/project"):
            guard parts[2] == id else { throw Refusal(404, class: "Client::NotFound", "This service does not exist") }
            let body = request.body.isEmpty ? JSON.null : try Self.decode(request.body)
            return try await projectRoute(request.method, Array(parts.dropFirst(3)), body, build, parameter)
        default: throw Refusal(404, code: "INVALID_URL", "Got an invalid (or empty) URL")
        }
    }

    private static func decode(_ body: [UInt8]) throws -> JSON {
        guard let json = try? JSONDecoder().decode(JSON.self, from: Data(body)) else {
            throw Refusal(400, class: "Client::BadRequest", "The body is not JSON")
        }
        return json
    }

    // MARK: The passing of time

    func now() -> Duration { elapsed() }

    /// Makes the moves that are due. A deleted instance goes for good.
    func settle() async throws {
        for (key, instance) in instances {
            guard let next = instance.next, elapsed() >= next.at else { continue }
            instances[key]?.status = next.status
            instances[key]?.next = nil
            if next.status == "DELETED" {
                instances[key] = nil
                await instance.guest.stop()
                try? FileManager.default.removeItem(atPath: "\(directory)/\(key)")
            }
        }
    }

    func begin(_ id: String, _ status: String?, then next: String, after delay: Duration) {
        if let status { instances[id]?.status = status }
        instances[id]?.next = (next, elapsed() + delay)
    }

    /// An address that is free, and what will answer there.
    func makeGuest(for name: String, instance: String, userData: String) -> (address: String, guest: Guest) {
        lastAddress += 1
        let address = "\(network)\(lastAddress)"
        let machine: Machine? =
            switch options.guests {
            case .greeting: nil
            case .machines: Machine(directory: "\(directory)/\(instance)", name: name, userData: userData)
            }
        return (address, Guest(address: address, port: options.sshPort, machine: machine))
    }

    /// A program that listens on all addresses has those of the instances too.
    func checkPort() throws {
        do {
            _ = try Listener(host: network + "0", port: options.sshPort)
        } catch {
            throw Machine.MachineError(
                description: "port \(options.sshPort) of \(network)0 cannot be had for instances: \(error)")
        }
    }

    func shutDown() async {
        for instance in instances.values { await instance.guest.stop() }
        instances = [:]
    }

    // MARK: Control

    private func control(_ request: Request, _ path: String) throws -> Reply {
        switch (request.method, path) {
        case ("POST", "/simulator/faults"):
            guard let fault = try? JSONDecoder().decode(Fault.self, from: Data(request.body)) else {
                return Reply(status: 400, body: Array("a fault is {\"route\": \"GET /cloud/project/*\", …}\n".utf8))
            }
            faults.add(fault)
            return Reply(status: 204, body: [])
        case ("DELETE", "/simulator/faults"):
            faults.clear()
            return Reply(status: 204, body: [])
        case ("GET", "/simulator/history"):
            return Reply(status: 200, body: try JSON.list(history.map(JSON.text)).bytes)
        default:
            return Reply(status: 404, body: Array("POST or DELETE /simulator/faults, GET /simulator/history\n".utf8))
        }
    }

    func inject(_ fault: Fault) { faults.add(fault) }
    func clearFaults() { faults.clear() }
    func setClock(ahead seconds: Int) { clockAhead = seconds }

    func calls(matching route: String) -> Int {
        let fault = Fault(route)
        return history.count { line in
            let words = line.split(separator: " ")
            return words.count == 2 && fault.matches(String(words[0]), words[1].split(separator: "/").map(String.init))
        }
    }

    func summary() -> [String: [String]] {
        Dictionary(grouping: instances.values, by: \.name).mapValues { $0.map(\.status).sorted() }
    }

    func keyNames() -> [String] { keys.map(\.name) }
    func userData(of name: String) -> String? { instances.values.first { $0.name == name }?.userData }
}

private func stopwatch(of clock: some Clock<Duration>) -> @Sendable () -> Duration {
    let start = clock.now
    return { start.duration(to: clock.now) }
}
