import Cryptography
import Foundation
import Logging
import NIOCore
import Testing

@testable import Fleet
@testable import Gateway

/// What the server says of itself, against what it is.
@Suite struct DescriptionTests {
    private static var routes: [Route] {
        GatewayService(
            operations: .refusing, configuration: GatewayConfiguration(), logger: Logger(label: "test"),
            onRunning: { _ in }
        ).routes(Latch(), BufferBudget(bytes: 1 << 20))
    }

    private static func document() throws -> [String: Any] {
        let text = OpenAPIDocument(routes: routes).json.text
        return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func everyRouteIsDescribedOnceAndWhole() throws {
        let routes = Self.routes
        #expect(Set(routes.map(\.description.id)).count == routes.count)
        #expect(Set(routes.map { "\($0.method) \($0.path)" }).count == routes.count)
        for route in routes {
            let named = route.path.matches(of: /\{(\w+)\}/).map { String($0.output.1) }
            let described = route.description.parameters.filter { $0.place == .path }.map(\.name)
            #expect(named == described, "\(route.method) \(route.path)")
            #expect(!route.description.summary.isEmpty && !route.description.answers.isEmpty, "\(route.path)")
            #expect(route.needsToken == route.path.hasPrefix("/v1/"), "\(route.path)")
        }
        let paths = try #require(try Self.document()["paths"] as? [String: [String: Any]])
        #expect(Set(paths.keys) == Set(routes.map(\.path)))
    }

    @Test func everyReferenceLeadsToASchemaAndEverySchemaIsUsed() throws {
        let text = OpenAPIDocument(routes: Self.routes).json.text
        let used = Set(text.matches(of: /#\/components\/schemas\/(\w+)/).map { String($0.output.1) })
        #expect(used.symmetricDifference(Schemas.all.map(\.0)) == ["Event"])  // a line of a stream, for people
    }

    @Test func viewsHaveTheFieldsOfTheirSchemas() throws {
        for (value, name) in Samples.all {
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(JSONView.encode(value))) as? [String: Any])
            let schema = try #require(Schemas.all.first { $0.0 == name }?.1)
            guard case .object(let properties)? = schema["properties"], case .array(let required)? = schema["required"]
            else {
                Issue.record("\(name) has no fields")
                continue
            }
            let names = required.compactMap { if case .string(let name) = $0 { name } else { nil } }
            #expect(Set(object.keys).isSubset(of: properties.map(\.0)), "\(name)")
            #expect(Set(names).isSubset(of: object.keys), "\(name)")
        }
    }

    @Test func thePageNeedsNoScriptAndNothingFromElsewhere() async throws {
        try await withGateway(.refusing) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.send("GET /docs HTTP/1.1\r\nHost: x\r\n\r\n")
                let (head, page) = try await client.response()
                let style = try #require(page.firstMatch(of: /<style>([^<]*)<\/style>/)?.output.1)
                let digest = Data(SHA256.hash(style.utf8)).base64EncodedString()
                #expect(head.contains("default-src 'none'; style-src 'sha256-\(digest)'"), "\(head)")
                #expect(!page.contains("<script") && !page.contains("style=") && !page.contains("https://"))
                #expect(page.contains("width=device-width") && page.contains("color-scheme"))
                for route in Self.routes {
                    #expect(page.contains("<article id=\"\(route.description.id)\">"), "\(route.path)")
                }
                try await client.send("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
                let document = try await client.response().body
                #expect(document == OpenAPIDocument(routes: Self.routes).json.text + "\n")
            }
        }
    }
}

/// One value of each view, with all its fields.
enum Samples {
    static var all: [(any Encodable, String)] {
        [
            (
                VMView(
                    id: EnvironmentID(), slug: .random(), name: "n", status: .running, state: .running, tier: .free,
                    vcpus: 1, memoryMb: 1, diskMb: 1, provider: "local", errorMessage: nil, createdAt: .now,
                    startedAt: nil, lastActivityAt: nil), "VM"
            ),
            (
                ExecutionView(
                    id: ExecutionID(), environmentId: EnvironmentID(), requestId: nil, state: "exited",
                    language: "python",
                    codeBytes: 1, exitCode: nil, signal: nil, durationMs: nil, cpuMs: nil, maxRssBytes: nil,
                    truncated: nil, stdoutBytes: nil, stderrBytes: nil, errorCode: nil, errorMessage: nil,
                    startedAt: .now, finishedAt: nil, code: TextOrBytes(bytes: []), stdout: TextOrBytes(bytes: []),
                    stderr: TextOrBytes(bytes: [])), "Execution"
            ), (LogLineView(timestamp: "", level: "info", message: ""), "LogLine"),
            (
                TokenView(
                    token: "t", id: TokenID(), name: "n", scopes: [], createdAt: .now, lastUsedAt: nil, expiresAt: nil,
                    revokedAt: nil), "Token"
            ), (UploadView(id: "12345678", offset: 1), "Upload"),
            (
                SSHKeyView(
                    SSHKey(
                        id: SSHKeyID(), userID: UserID(), name: "n", publicKey: "ssh-ed25519 A", fingerprint: "SHA256:",
                        createdAt: .now)), "SSHKey"
            ),
        ]
    }
}
