import Fleet
import HTTPTypes
import NIOCore

/// The answer to a plain or batched request: one envelope, or an array of them in call order.
struct JSONAnswer: Sendable {
    let exchange: Exchange
    let request: TRPCRequest
    let headers: HTTPFields

    func answer(_ calls: [PlannedCall]) async throws {
        if let fault = request.fault {
            fault.log(exchange.target.path, to: exchange)
            return try await respond([.failure(fault)], paths: [nil], isBatch: false)
        }
        let results = try await withThrowingTaskGroup(of: (Int, Result<Outcome, TRPCFault>).self) { group in
            for (index, call) in calls.enumerated() {
                group.addTask { (index, try await call.outcome()) }
            }
            var results: [Int: Result<Outcome, TRPCFault>] = [:]
            for try await (index, result) in group { results[index] = result }
            return calls.indices.compactMap { results[$0] }
        }
        try await respond(results, paths: calls.map(\.path), isBatch: request.form == .batch)
    }

    private func respond(_ results: [Result<Outcome, TRPCFault>], paths: [String?], isBatch: Bool) async throws {
        var pieces: [ByteBuffer] = []
        var headers = headers
        headers[.contentType] = "application/json"
        var statuses: Set<Int> = []
        for (index, (result, path)) in zip(results, paths).enumerated() {
            if isBatch { pieces.append(ByteBuffer(string: index == 0 ? "[" : ",")) }
            pieces += Envelope.pieces(result, path: path, requestID: exchange.id)
            switch result {
            case .success: statuses.insert(200)
            case .failure(let fault):
                statuses.insert(fault.code.status.code)
                // One given twice is there once.
                for field in fault.responseHeaders { headers[field.name] = field.value }
            }
        }
        pieces.append(ByteBuffer(string: isBatch ? "]\n" : "\n"))
        let status = statuses.count == 1 ? HTTPResponse.Status(code: statuses.first ?? 200) : .multiStatus
        if status == .unauthorized { headers[.wwwAuthenticate] = "Bearer realm=\"martlet\"" }
        try await exchange.respond(status, headers: headers, pieces: pieces)
        withExtendedLifetime(results) {}  // with them their shares of the budget
    }
}

/// How one call's answer is wrapped.
enum Envelope {
    /// `{"result":{"data":…}}` or `{"error":{…}}`.
    static func pieces(_ result: Result<Outcome, TRPCFault>, path: String?, requestID: String) -> [ByteBuffer] {
        switch result {
        case .success(let outcome):
            [ByteBuffer(string: "{\"result\":{\"data\":")] + outcome.pieces + [ByteBuffer(string: "}}")]
        case .failure(let fault):
            [ByteBuffer(string: "{\"error\":"), fault.shape(path: path, requestID: requestID), ByteBuffer(string: "}")]
        }
    }

    /// The same in one buffer.
    static func joined(_ result: Result<Outcome, TRPCFault>, path: String?, requestID: String) -> ByteBuffer {
        var whole = ByteBuffer()
        for piece in pieces(result, path: path, requestID: requestID) { whole.writeImmutableBuffer(piece) }
        return whole
    }
}

extension HTTPResponse.Status {
    fileprivate static let multiStatus = HTTPResponse.Status(code: 207, reasonPhrase: "Multi-Status")
}
