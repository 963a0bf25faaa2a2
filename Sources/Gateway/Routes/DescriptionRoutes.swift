import HTTPTypes
import NIOCore

/// `/openapi.json` and `/docs`: the route table, told to programs and to people.
struct DescriptionRoutes: Sendable {
    private let document: ByteBuffer
    private let page: ByteBuffer

    /// These routes and those that describe all of them, themselves among them.
    static func describing(_ routes: [Route]) -> [Route] {
        let all = routes + DescriptionRoutes(document: ByteBuffer(), page: ByteBuffer()).routes
        var document = ByteBuffer()
        OpenAPIDocument(routes: all).json.write(to: &document)
        document.writeStaticString("\n")
        return routes
            + DescriptionRoutes(
                document: document, page: ByteBuffer(string: DocumentationPage(routes: all).html)
            ).routes
    }

    private var routes: [Route] {
        [
            .open(
                .get, "/openapi.json",
                RouteDescription(
                    id: "getOpenAPI", group: .server, summary: "This API as an OpenAPI 3.1 document",
                    answers: [.json("The document.", ["type": "object"])])
            ) { exchange in
                try await exchange.respond(
                    .ok, headers: [.contentType: "application/json", .cacheControl: "no-cache"], body: document)
            },
            .open(
                .get, "/docs",
                RouteDescription(
                    id: "getDocumentation", group: .server, summary: "This API as a page",
                    answers: [
                        .init(
                            status: .ok, summary: "The page.",
                            contents: [.init(type: "text/html", schema: ["type": "string"])])
                    ])
            ) { exchange in
                try await exchange.respond(
                    .ok,
                    headers: [
                        .contentType: "text/html; charset=utf-8", .cacheControl: "no-cache",
                        .contentTypeOptions: "nosniff", .referrerPolicy: "no-referrer",
                        .contentSecurityPolicy: DocumentationPage.contentSecurityPolicy,
                    ], body: page)
            },
        ]
    }
}

extension HTTPField.Name {
    static let contentSecurityPolicy = HTTPField.Name("Content-Security-Policy")!
    static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
}
