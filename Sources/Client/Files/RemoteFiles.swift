import Foundation
import HTTPTransport

/// The files of a VM, by the API. Calls that the server asks to come later (`rate_limited`) are sent again.
///
/// A large file goes in parts, each a request of its own; where one is cut the server is asked how far it came, and it
/// goes on there. So does a download, by `Range` of what is still the same file. Either is checked by its size.
package struct RemoteFiles: Sendable {
    package struct Entry: Sendable {
        package let path: RemotePath
        package let type: String
        package let size: UInt64
    }

    private let client: APIClient
    private let environment: String?
    private let local = LocalFiles()

    /// Of one request. A larger one is a longer way back after a cut.
    private static let partSize: UInt64 = 16 << 20
    private static let pausesAfterCuts: [Duration] = [.milliseconds(200), .seconds(1), .seconds(3), .seconds(10)]

    package init(client: APIClient, environment: String?) {
        self.client = client
        self.environment = environment
    }

    private func url(_ path: RemotePath, _ query: [(String, String?)] = []) -> String {
        APIClient.path("/v1/files/\(path.escaped)", [("environment", environment)] + query)
    }

    // MARK: Looking

    /// `nil` if there is nothing. What a link leads to is told by ``list(_:)`` or reading it.
    package func entry(_ path: RemotePath) async throws -> Entry? {
        do {
            let answer = try await patiently { try await client.call("GET", url(path, [("stat", "1")])) }
            return try answer.decoded(as: JSONValue.self)["file"].flatMap { Self.entry($0) }
        } catch let error as ClientError where error.code == "file_not_found" {
            return nil
        }
    }

    /// Whether it is a directory, or a link to one.
    package func isDirectory(_ path: RemotePath) async throws -> Bool {
        do {
            try await patiently { try await client.call("GET", url(path, [("list", "1"), ("limit", "1")])) }
            return true
        } catch let error as ClientError where ["file_not_found", "not_a_directory"].contains(error.code) {
            return false
        }
    }

    /// All of a directory, page after page.
    package func list(_ path: RemotePath) async throws -> [Entry] {
        var entries: [Entry] = []
        var after: String?
        while true {
            let query = [("list", "1"), ("limit", "1000"), ("after", after)]
            let page = try await patiently { [query] in try await client.call("GET", url(path, query)) }
                .decoded(as: JSONValue.self)
            let found = (page["files"]?.values ?? []).compactMap { Self.entry($0) }
            entries += found
            guard page["more"] == .bool(true), let last = found.last else { return entries }
            after = RemotePath(last.path.name).escaped
        }
    }

    private static func entry(_ value: JSONValue) -> Entry? {
        guard let path = value["path"]?.text.flatMap({ RemotePath(escaped: $0) }), let type = value["type"]?.text,
            let size = value["size"]?.integer
        else { return nil }
        return Entry(path: path, type: type, size: UInt64(max(0, size)))
    }

    package func makeDirectory(_ path: RemotePath) async throws {
        guard !path.bytes.isEmpty else { return }
        let body = JSONValue.object(["directory": .bool(true), "parents": .bool(true)])
        try await patiently { try await client.call("PATCH", url(path), json: body) }
    }

    // MARK: Sending

    /// Sends a file; `progress` is told how many bytes are there.
    package func send(
        _ source: [UInt8], size: UInt64, to path: RemotePath, progress: @Sendable (UInt64) async -> Void
    ) async throws {
        let file = try await local.open(reading: source)
        let id = UUID().uuidString.lowercased()
        var (offset, cuts) = (UInt64(0), 0)
        while true {
            let bytes = try await local.read(file, at: offset, count: Int(min(Self.partSize, size - offset)))
            guard UInt64(bytes.count) == min(Self.partSize, size - offset) else { throw Self.changed(source) }
            let isWhole = size <= Self.partSize
            let query = isWhole ? [] : [("upload", id), ("offset", "\(offset)"), ("total", "\(size)")]
            do {
                let answer = try await patiently { [offset = url(path, query)] in
                    try await client.put(offset, bytes: bytes)
                }
                let said = try answer.decoded(as: JSONValue.self)
                if answer.status != 202 {
                    guard said["file.size"]?.integer == Int(size) else { throw Self.changed(source) }
                    return await progress(size)
                }
                offset += UInt64(bytes.count)
                cuts = 0
            } catch let error as ClientError
                where Self.isCut(error, isPart: !isWhole) && cuts < Self.pausesAfterCuts.count
            {
                try await Task.sleep(for: Self.pausesAfterCuts[cuts])
                cuts += 1
                if !isWhole { offset = min(size, try await reached(path, id) ?? 0) }
            }
            await progress(offset)
        }
    }

    private static func changed(_ source: [UInt8]) -> ClientError {
        ClientError(
            .failed, code: "file_changed",
            message: "'\(TerminalText.visible(String(decoding: source, as: UTF8.self)))' "
                + "changed while it was copied.", hint: "Copy it again.")
    }

    /// Whether it may be tried again from where it came to.
    private static func isCut(_ error: ClientError, isPart: Bool) -> Bool {
        error.kind == .unreachable || error.code == "http_connection_closed" || error.code == "vm_unreachable"
            || error.code == "shutting_down" || (isPart && error.code == "upload_mismatch")
    }

    private func reached(_ path: RemotePath, _ id: String) async throws -> UInt64? {
        do {
            let answer = try await patiently { try await client.call("GET", url(path, [("upload", id)])) }
            return try answer.decoded(as: JSONValue.self)["upload.offset"]?.integer.map { UInt64($0) }
        } catch let error as ClientError where error.code == "file_not_found" {
            return nil
        }
    }

    // MARK: Fetching

    /// Fetches a file. What has the target's name is replaced once all of the new one is there.
    package func fetch(
        _ path: RemotePath, to target: [UInt8], progress: @Sendable (_ done: UInt64, _ size: UInt64) async -> Void
    ) async throws {
        let part = target + Array(".martlet-part".utf8)
        let file = try await local.open(writing: part)
        do {
            var state = Fetch()
            var cuts = 0
            while !state.isWhole {
                let before = state.done
                do {
                    try await patiently { try await continueFetch(path, file, &state, progress) }
                } catch let error as ClientError
                    where Self.isCut(error, isPart: false) && state.tag != nil && cuts < Self.pausesAfterCuts.count
                {
                    cuts = state.done > before ? 1 : cuts + 1
                    try await Task.sleep(for: Self.pausesAfterCuts[cuts - 1])
                }
            }
            try await local.rename(part, to: target)
        } catch {
            await Task { try? await local.remove(part) }.value  // although this task may be cancelled
            throw error
        }
    }

    private struct Fetch {
        var done: UInt64 = 0
        var size: UInt64?
        var tag: String?
        var isWhole: Bool { done == size }
    }

    private func continueFetch(
        _ path: RemotePath, _ file: LocalFiles.Handle, _ state: inout Fetch,
        _ progress: (_ done: UInt64, _ size: UInt64) async -> Void
    ) async throws {
        var headers: [(String, String)] = []
        if let tag = state.tag { headers = [("If-Match", tag), ("Range", "bytes=\(state.done)-")] }
        let position = state
        state = try await client.streaming("GET", url(path), headers: headers) { response in
            var state = position
            guard let length = response["Content-Length"].flatMap({ UInt64($0) }) else {
                throw ClientError(
                    .failed, code: "answer_not_understood", message: "The server does not say how long the file is.",
                    hint: "Client and server may be of different versions: 'martlet --version'.")
            }
            if response.status != 206 { state.done = 0 }
            state.size = state.done + length
            state.tag = response["ETag"]
            do {
                for try await chunk in response {
                    try await local.write(chunk, to: file, at: state.done)
                    state.done += UInt64(chunk.count)
                    await progress(state.done, state.size ?? 0)
                }
            } catch let error as HTTPTransportError where error.code == .closed && state.tag != nil {
                return state  // what came is kept
            }
            return state
        }
        guard state.isWhole || state.done > position.done else {
            throw ClientError(
                .failed, code: "http_connection_closed", message: "The file was cut at byte \(state.done).",
                hint: "Try again.")
        }
    }

    // MARK: Rates

    /// Waits while the token's rate is used up: copying many files is many calls.
    @discardableResult
    private func patiently<Result>(_ body: () async throws -> Result) async throws -> Result {
        for _ in 0..<120 {
            do {
                return try await body()
            } catch let error as ClientError where error.code == "rate_limited" {
                try await Task.sleep(for: .seconds(1))
            }
        }
        return try await body()
    }
}
