import Fleet
import HTTPTypes
import NIOCore

/// The routes as an OpenAPI 3.1 document.
///
/// Nothing is written down twice: paths, methods and descriptions are the route table's, statuses of errors come from
/// the same function that answers with them.
struct OpenAPIDocument {
    let routes: [Route]

    var json: JSONValue {
        [
            "openapi": "3.1.0",
            "info": [
                "title": "Martlet", "version": "1.0.0",
                "summary": "Runs people's code over HTTP, in VMs that sleep and wake on demand.",
                "description": """
                Every path under `/v1` wants a token: `Authorization: Bearer mlt_…`. Codes of errors and fields of \
                answers are only ever added. Beside this API, `/api/trpc` speaks tRPC.
                """,
            ],
            "servers": [["url": "/"]],
            "tags": .array(
                RouteDescription.Group.allCases.filter { group in routes.contains { $0.description.group == group } }
                    .map { ["name": .string($0.rawValue)] }),
            "paths": .object(paths),
            "components": [
                "securitySchemes": [
                    "token": [
                        "type": "http", "scheme": "bearer", "bearerFormat": "mlt_…",
                        "description": "Made by 'martlet token create' or POST /v1/tokens.",
                    ]
                ],
                "schemas": .object(Schemas.all),
            ],
        ]
    }

    private var paths: [(String, JSONValue)] {
        var order: [String] = []
        var operations: [String: [(String, JSONValue)]] = [:]
        for route in routes {
            if operations[route.path] == nil { order.append(route.path) }
            operations[route.path, default: []].append((route.method.rawValue.lowercased(), operation(route)))
        }
        return order.map { ($0, .object(operations[$0] ?? [])) }
    }

    private func operation(_ route: Route) -> JSONValue {
        let description = route.description
        var fields: [(String, JSONValue)] = [
            ("operationId", .string(description.id)), ("tags", [.string(description.group.rawValue)]),
            ("summary", .string(description.summary)),
        ]
        if !description.detail.isEmpty { fields.append(("description", .string(description.detail))) }
        let parameters = description.parameters + [.requestID]
        fields.append(("parameters", .array(parameters.map { Self.parameter($0) })))
        switch description.body {
        case .json(let schema, let example, let isRequired):
            fields.append(
                (
                    "requestBody",
                    [
                        "required": .bool(isRequired),
                        "content": ["application/json": ["schema": schema, "example": example]],
                    ]
                ))
        case .bytes:
            fields.append(
                ("requestBody", ["required": false, "content": ["application/octet-stream": ["schema": [:]]]]))
        case nil: break
        }
        fields.append(("responses", .object(responses(route))))
        fields.append(("security", route.needsToken ? [["token": []]] : []))
        return .object(fields)
    }

    private static func parameter(_ parameter: RouteDescription.Parameter) -> JSONValue {
        [
            "name": .string(parameter.name), "in": .string(parameter.place.rawValue),
            "required": .bool(parameter.place == .path), "description": .string(parameter.summary),
            "schema": parameter.schema,
        ]
    }

    private func responses(_ route: Route) -> [(String, JSONValue)] {
        let description = route.description
        var responses = description.answers.map { answer -> (String, JSONValue) in
            var fields: [(String, JSONValue)] = [("description", .string(answer.summary))]
            let headers = answer.headers + [(name: "X-Request-Id", summary: "The request's id, as in the log.")]
            fields.append(("headers", .object(headers.map { ($0.name, Self.header($0.summary)) })))
            if !answer.contents.isEmpty {
                fields.append(
                    (
                        "content",
                        .object(
                            answer.contents.map { content in
                                let schema: JSONValue = ["schema": content.schema]
                                return (content.type, content.example.map { schema.with(["example": $0]) } ?? schema)
                            })
                    ))
            }
            return (String(answer.status.code), .object(fields))
        }
        var codes: [Int: Set<String>] = [:]
        for code in description.errors(needsToken: route.needsToken) {
            codes[code.status.code, default: []].insert(code.rawValue)
        }
        codes[HTTPResponse.Status.badRequest.code, default: []].insert(ServiceError.Code.invalidRequest.rawValue)
        for (status, codes) in codes.sorted(by: { $0.key < $1.key }) {
            responses.append((String(status), Self.refusal(codes.sorted(), isLimited: status == 429)))
        }
        return responses.sorted { $0.0 < $1.0 }
    }

    private static func refusal(_ codes: [String], isLimited: Bool) -> JSONValue {
        let schema: JSONValue = [
            "allOf": [
                Schema.reference("Error"),
                ["properties": ["error": ["properties": ["code": ["enum": .array(codes.map { .string($0) })]]]]],
            ]
        ]
        let description: JSONValue = .string(codes.map { "`\($0)`" }.joined(separator: ", "))
        let fields: JSONValue = ["description": description, "content": ["application/json": ["schema": schema]]]
        return isLimited
            ? fields.with(["headers": ["Retry-After": header("Seconds until it is worth trying.")]]) : fields
    }

    private static func header(_ summary: String) -> JSONValue {
        ["description": .string(summary), "schema": ["type": "string"]]
    }
}

extension RouteDescription.Parameter {
    /// Taken by every route.
    static let requestID = header(
        "X-Request-Id", "Your own id of the request: logged, kept with what it causes, and sent back.",
        ["type": "string"])
}
