import Foundation

/// Carries the bytes of an SSH client to the server of a VM, which is woken for it: `GET /v1/ssh` as a WebSocket.
package struct SSHTunnel: Sendable {
    /// What is said before the first byte.
    package struct Host: Sendable, Decodable {
        package let slug: String
        package let user: String
        package let hostKey: String
        /// How many keys let in.
        package let keys: Int
    }

    private struct Word: Decodable {
        struct Failure: Decodable {
            let code: String
            let message: String
            let hint: String?
            let requestId: String?
        }
        var status: String?
        var message: String?
        var ready: Host?
        var error: Failure?
    }

    private let client: APIClient
    private let environment: String?

    /// - Parameter environment: slug or id; nil: one's own VM.
    package init(client: APIClient, environment: String?) {
        self.client = client
        self.environment = environment
    }

    /// Returns when either side has ended. `status` is told what goes on while the VM wakes; `ready` is called before any
    /// byte is given to `output`, and may refuse by throwing.
    package func run(
        status: @escaping @Sendable (String) async throws -> Void,
        ready: @escaping @Sendable (Host) async throws -> Void,
        input: @escaping @Sendable () async throws -> [UInt8]?,
        output: @escaping @Sendable ([UInt8]) async throws -> Void
    ) async throws {
        try await client.webSocket(APIClient.path("/v1/ssh", [("environment", environment)])) { socket in
            try await awaitReady(socket, status, ready)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while let bytes = try await input() { try await socket.send(bytes) }
                    try await socket.close()
                    // What the VM still says is read until it has closed too.
                    try await Task.sleep(for: .seconds(2))
                }
                group.addTask {
                    // Who pages through what the VM prints reads nothing meanwhile.
                    while true {
                        try await Task.sleep(for: .seconds(10))
                        try await socket.showLife()
                    }
                }
                group.addTask {
                    while true {
                        switch try await socket.next() {
                        case .binary(let bytes): try await output(bytes)
                        case .text(let text): try Self.check(text)
                        case .closed(let code, let reason):
                            guard code == 1000 || code == nil else { throw Self.ended(code, reason) }
                            return
                        }
                    }
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        }
    }

    private func awaitReady(
        _ socket: ClientWebSocket, _ status: (String) async throws -> Void, _ ready: (Host) async throws -> Void
    ) async throws {
        while true {
            switch try await socket.next() {
            case .text(let text):
                let word = try Self.check(text)
                if let message = word.message { try await status(message) }
                if let host = word.ready { return try await ready(host) }
            case .binary:
                throw ClientError(
                    .failed, code: "answer_not_understood", message: "The server sent bytes before it was ready.",
                    hint: "Client and server may be of different versions: 'martlet --version'.")
            case .closed(let code, let reason): throw Self.ended(code, reason)
            }
        }
    }

    /// Throws what it tells of a failure.
    @discardableResult
    private static func check(_ text: String) throws -> Word {
        guard let word = try? JSONDecoder().decode(Word.self, from: Data(text.utf8)) else { return Word() }
        if let error = word.error {
            throw ClientError(
                .failed, code: error.code, message: error.message, hint: error.hint ?? "", requestID: error.requestId)
        }
        return word
    }

    private static func ended(_ code: UInt16?, _ reason: String) -> ClientError {
        ClientError(
            .failed, code: "stream_cut",
            message: "The server closed the connection" + (reason.isEmpty ? "." : ": \(reason)."),
            hint: code == 1001 ? "Try again in a moment." : "Try again; 'martlet vm' shows how the VM is.")
    }
}
