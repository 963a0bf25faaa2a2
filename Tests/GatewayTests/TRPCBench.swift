import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

extension TRPCOperations {
    /// No VM anywhere.
    static var empty: TRPCOperations {
        TRPCOperations(vm: { _ in nil }, page: { _ in [] }, destroy: { _, _, _ in })
    }
}

extension GatewayOperations {
    /// Knows a user's token, `mlt_good`, an admin's, `mlt_admin`, and one VM, the user's.
    static var seeded: GatewayOperations {
        var operations = refusing
        let user = operations.authenticate
        operations.authenticate = { token in
            token == "mlt_admin"
                ? Caller(userID: UserID(), tokenID: TokenID(), role: .admin, scopes: [.user, .admin], tier: .pro)
                : try await user(token)
        }
        operations.trpc.vm = { _ in .example }
        operations.trpc.page = { $0 == nil ? [.example] : [] }
        operations.catalog = { .tiers("here") }
        let answer = VMView(
            id: DashboardVM.example.id, slug: Slug.random(), name: "vm", status: .running, state: .running, tier: .free,
            vcpus: 2, memoryMb: 4_096, diskMb: 10_240, provider: "local", createdAt: .now)
        operations.startVM = { _, _ in answer }
        operations.stopVM = { _, _ in answer }
        operations.destroyVM = { _, _ in answer }
        operations.createVM = { _, _, _, _ in answer }
        return operations
    }
}

extension DashboardVM {
    static let example = DashboardVM(
        id: EnvironmentID("4bf83d8a-0000-4000-8000-000000000001")!, userId: GatewayOperations.caller.userID,
        status: .running, vcpus: 2, memoryMb: 4_096, diskGb: 10, sshPort: 2_222, sshPublicKey: nil,
        sshUsername: "martlet", internalIp: "127.0.0.1", environmentId: nil, totalRuntimeMinutes: 3,
        lastStartedAt: Date(timeIntervalSince1970: 0), createdAt: Date(timeIntervalSince1970: 0.5),
        updatedAt: Date(timeIntervalSince1970: 0.5))
}

/// An answer of tRPC, unpacked.
struct TRPCAnswer {
    let status: Int
    let head: String  // lower case
    let text: String
    let json: Any?

    /// The envelopes, of a batch or of a single call.
    var envelopes: [[String: Any]] { json as? [[String: Any]] ?? (json as? [String: Any]).map { [$0] } ?? [] }
    var data: [Any?] { envelopes.map { ($0["result"] as? [String: Any])?["data"] } }
    var errors: [TRPCErrorShape?] { envelopes.map { TRPCErrorShape($0["error"]) } }
    var error: TRPCErrorShape? { errors.first ?? nil }
}

struct TRPCErrorShape {
    let message: String
    let number: Int
    let code: String
    let status: Int
    let path: String?
    let service: String
    let hasStack: Bool

    init?(_ json: Any?) {
        guard let json = json as? [String: Any], let message = json["message"] as? String,
            let number = json["code"] as? Int, let data = json["data"] as? [String: Any],
            let code = data["code"] as? String, let status = data["httpStatus"] as? Int
        else { return nil }
        self.message = message
        self.number = number
        self.code = code
        self.status = status
        path = data["path"] as? String
        service = data["serviceCode"] as? String ?? ""
        hasStack = data["stack"] != nil
    }
}

extension RawClient {
    /// One call to tRPC on this connection, answered with a length.
    func trpc(
        _ method: String, _ path: String, _ headers: [String] = [], body: String? = nil, token: String? = "mlt_good"
    ) async throws -> TRPCAnswer {
        try await sendTRPC(method, path, headers, body: body, token: token)
        let (head, text) = try await response()
        return TRPCAnswer(
            status: Int(head.split(separator: " ")[1]) ?? 0, head: head.lowercased(), text: text,
            json: try? JSONSerialization.jsonObject(with: Data(text.utf8)))
    }

    /// One call answered as a stream; returns its head, in lower case.
    func openTRPC(
        _ method: String, _ path: String, _ headers: [String] = [], body: String? = nil, token: String? = "mlt_good"
    ) async throws -> String {
        try await sendTRPC(method, path, headers, body: body, token: token)
        return try await read(until: "\r\n\r\n").lowercased()
    }

    private func sendTRPC(
        _ method: String, _ path: String, _ headers: [String], body: String?, token: String?
    ) async throws {
        var lines = ["\(method) /api/trpc/\(path) HTTP/1.1", "Host: x"] + headers
        if let token { lines.append("Authorization: Bearer \(token)") }
        if let body {
            lines.append("Content-Length: \(body.utf8.count)")
            if !headers.contains(where: { $0.lowercased().hasPrefix("content-type") }) {
                lines.append("content-type: application/json")
            }
        }
        try await send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
    }

    /// The data of a chunked answer to its end, on a connection that goes on.
    func streamToEnd() async throws -> String { unchunked(try await read(until: "\r\n0\r\n\r\n")).data }
}

/// A gateway and a connection to it.
func withTRPC(
    _ operations: GatewayOperations = .seeded, _ configure: (inout GatewayConfiguration) -> Void = { _ in },
    _ body: (RawClient) async throws -> Void
) async throws {
    try await withGateway(operations, configure) { port, _ in
        try await RawClient.connected(to: port, body)
    }
}

extension TRPCAnswer {
    /// Without what differs from one request to the next.
    var comparable: String { text.replacing(/"requestId":"[^"]*"/, with: "") }
}

/// What a link of tRPC adds to a request whose answer is to be JSON Lines.
let linesHeader = ["trpc-accept: application/jsonl"]

/// Every line by itself, as the client parses it: the spaces before it are white space of JSON.
func parsedLines(_ text: String) throws -> [Any] {
    try text.split(separator: "\n").map { try JSONSerialization.jsonObject(with: Data($0.utf8)) }
}

func escaped(_ text: String) -> String { text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "" }

extension Offer {
    /// Of a provider of VMs of the tiers' sizes.
    static func tiers(_ region: String) -> Offer {
        var offer = Offer()
        offer.add(flavors: FlavorView.tiers(type: "local", region: region), regions: [region])
        return offer
    }
}
