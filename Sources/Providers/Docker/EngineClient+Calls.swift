import Foundation
import HTTPTransport

/// The calls of the API that VMs are made of. `nil` stands for "there is none".
extension EngineClient {
    func information() async throws -> EngineInformation { try await get("/info") }

    func image(_ reference: String) async throws -> EngineImage? {
        try await ifThere { try await get("/images/\(reference)/json") }
    }

    func images(label: String) async throws -> [ImageSummary] {
        try await get("/images/json", query: [("filters", try Self.filter(label: label))])
    }

    // MARK: Containers

    func container(_ name: String) async throws -> ContainerInspection? {
        try await ifThere { try await get("/containers/\(name)/json") }
    }

    /// All that have the label, running or not.
    func containers(label: String) async throws -> [ContainerSummary] {
        try await get("/containers/json", query: [("all", "1"), ("filters", try Self.filter(label: label))])
    }

    func createContainer(_ name: String, _ request: ContainerRequest) async throws {
        _ = try await call("POST", "/containers/create", query: [("name", name)], body: .json(request))
    }

    func updateContainer(_ name: String, _ update: ContainerUpdate) async throws {
        _ = try await call("POST", "/containers/\(name)/update", body: .json(update))
    }

    /// Starting a running one succeeds.
    func startContainer(_ name: String, within limit: Duration) async throws {
        _ = try await call("POST", "/containers/\(name)/start", timeout: limit)
    }

    /// Stopping a stopped one succeeds. Its processes have `grace` to end by themselves.
    func stopContainer(_ name: String, grace: Int) async throws {
        _ = try await call(
            "POST", "/containers/\(name)/stop", query: [("t", String(grace))], timeout: .seconds(30 + grace))
    }

    /// Waits until it has ended; its status then.
    func waitForContainer(_ name: String) async throws -> Int {
        struct Answer: Decodable { let statusCode: Int }
        let response = try await call("POST", "/containers/\(name)/wait", timeout: .seconds(60))
        let answer: Answer = try EngineCoding.decode(response.body)
        return answer.statusCode
    }

    func unpauseContainer(_ name: String) async throws {
        _ = try await call("POST", "/containers/\(name)/unpause")
    }

    /// Whatever state it is in. One that is being removed by somebody else is waited for.
    func removeContainer(_ name: String) async throws {
        let end = ContinuousClock.now + .seconds(30)
        while true {
            do {
                let query = [("force", "1"), ("v", "1")]
                _ = try await call("DELETE", "/containers/\(name)", query: query, timeout: .seconds(60))
                return
            } catch let failure as EngineFailure {
                if failure.isMissing { return }
                guard failure.isInProgress, ContinuousClock.now < end else { throw failure }
                try await Task.sleep(for: .milliseconds(50))  // the engine has no call to wait for a removal by name
            }
        }
    }

    // MARK: Files of a container

    /// Unpacks a tar archive in a directory of the container, running or not.
    func putArchive(_ archive: [UInt8], into directory: String, of name: String) async throws {
        _ = try await call(
            "PUT", "/containers/\(name)/archive", query: [("path", directory)], body: .tar(archive))
    }

    /// A directory of the container as a tar archive.
    func archive(of directory: String, in name: String) async throws -> [UInt8] {
        try await call("GET", "/containers/\(name)/archive", query: [("path", directory)]).body
    }

    func hasFile(_ path: String, in name: String) async throws -> Bool {
        try await ifThere {
            try await call("HEAD", "/containers/\(name)/archive", query: [("path", path)])
        } != nil
    }

    /// The newest lines of both streams.
    func logs(_ name: String, lines: Int) async throws -> [String] {
        let response = try await call(
            "GET", "/containers/\(name)/logs",
            query: [("stdout", "1"), ("stderr", "1"), ("tail", String(max(0, lines)))], limit: 16 << 20)
        return LogFrames.text(of: response.body).split(separator: "\n").suffix(max(0, lines)).map(String.init)
    }

    // MARK: Volumes and networks

    /// The volume of that name: made with these labels, or the one that is there, with its own. The engine does this in
    /// one step, whoever else asks for the same name.
    func volume(_ name: String, labels: [String: String], options: [String: String] = [:]) async throws -> EngineVolume
    {
        struct Request: Encodable {
            let name: String
            let labels: [String: String]
            let driverOpts: [String: String]
        }
        let response = try await call(
            "POST", "/volumes/create", body: .json(Request(name: name, labels: labels, driverOpts: options)))
        return try EngineCoding.decode(response.body)
    }

    func volumes(label: String) async throws -> [EngineVolume] {
        let answer: EngineVolumes = try await get("/volumes", query: [("filters", try Self.filter(label: label))])
        return answer.volumes ?? []
    }

    func hasVolume(_ name: String) async throws -> Bool {
        try await ifThere { try await call("GET", "/volumes/\(name)") } != nil
    }

    func removeVolume(_ name: String) async throws {
        _ = try await ifThere { try await call("DELETE", "/volumes/\(name)") }
    }

    func network(_ name: String) async throws -> EngineNetwork? {
        try await ifThere { try await get("/networks/\(name)") }
    }

    func createNetwork(_ name: String, options: [String: String], labels: [String: String]) async throws {
        struct Request: Encodable {
            let name: String
            let driver = "bridge"
            let checkDuplicate = true
            let options: [String: String]
            let labels: [String: String]
        }
        _ = try await call(
            "POST", "/networks/create", body: .json(Request(name: name, options: options, labels: labels)))
    }

    // MARK: Inside

    private func ifThere<Answer>(_ call: () async throws -> Answer) async throws -> Answer? {
        do {
            return try await call()
        } catch let failure as EngineFailure where failure.isMissing {
            return nil
        }
    }

    private static func filter(label: String) throws -> String {
        String(decoding: try EngineCoding.encode(["label": [label]]), as: UTF8.self)
    }
}

/// The frames in which the engine sends a container's two streams through one ("Attach to a container" in its reference):
/// which stream, three zeros, the length in big-endian order, the bytes.
enum LogFrames {
    /// The text of both streams. What is cut off at the end is left out.
    static func text(of bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        var position = 0
        while position + 8 <= bytes.count {
            let length = bytes[(position + 4)..<(position + 8)].reduce(0) { $0 << 8 | Int($1) }
            let start = position + 8
            text += bytes[start..<min(start + length, bytes.count)]
            position = start + length
        }
        return String(decoding: text, as: UTF8.self)
    }
}
