import Fleet
import HTTPTypes

/// What a route is for, takes and answers: said beside its handler, and read by `/openapi.json` and `/docs`.
struct RouteDescription: Sendable {
    enum Group: String, CaseIterable {
        case executions = "Executions"
        case environments = "Environments"
        case files = "Files"
        case ssh = "SSH"
        case terminals = "Terminals"
        case vm = "Your VM"
        case tokens = "Tokens"
        case account = "Account"
        case admin = "Administration"
        case server = "Server"
    }

    struct Parameter: Sendable {
        enum Place: String { case path, query, header }
        let name: String
        let place: Place
        let schema: JSONValue
        let summary: String

        static func path(_ name: String, _ summary: String, _ schema: JSONValue) -> Parameter {
            Parameter(name: name, place: .path, schema: schema, summary: summary)
        }

        static func query(_ name: String, _ summary: String, _ schema: JSONValue) -> Parameter {
            Parameter(name: name, place: .query, schema: schema, summary: summary)
        }

        static func header(_ name: String, _ summary: String, _ schema: JSONValue) -> Parameter {
            Parameter(name: name, place: .header, schema: schema, summary: summary)
        }
    }

    enum Body: Sendable {
        /// Read whole before anything is done.
        case json(JSONValue, example: JSONValue, isRequired: Bool = true)
        /// Read as it comes.
        case bytes
    }

    struct Content: Sendable {
        let type: String
        let schema: JSONValue
        var example: JSONValue?
    }

    struct Answer: Sendable {
        let status: HTTPResponse.Status
        let summary: String
        var contents: [Content] = []
        var headers: [(name: String, summary: String)] = []

        static func json(_ summary: String, _ schema: JSONValue, example: JSONValue? = nil) -> Answer {
            json(.ok, summary, schema, example: example)
        }

        static func json(
            _ status: HTTPResponse.Status, _ summary: String, _ schema: JSONValue, example: JSONValue? = nil
        ) -> Answer {
            Answer(
                status: status, summary: summary,
                contents: [Content(type: "application/json", schema: schema, example: example)])
        }

        static func empty(_ status: HTTPResponse.Status, _ summary: String) -> Answer {
            Answer(status: status, summary: summary)
        }
    }

    let id: String  // `operationId`: unique, and what generated clients name their functions after
    let group: Group
    let summary: String
    var detail = ""
    var parameters: [Parameter] = []
    var body: Body?
    let answers: [Answer]
    /// Those of its own; what every route can answer is added by ``errors(needsToken:)``.
    var errors: [ServiceError.Code] = []

    /// Of a page, which is for people and in no description of the API.
    static func page(_ path: String) -> RouteDescription {
        RouteDescription(id: "page \(path)", group: .server, summary: "", answers: [])
    }

    /// All codes it can answer with.
    func errors(needsToken: Bool) -> Set<ServiceError.Code> {
        var all = Set(errors).union([.invalidRequest, .internalError, .shuttingDown, .serviceUnavailable])
        if needsToken { all.formUnion([.unauthenticated, .accountSuspended, .rateLimited]) }
        switch body {
        case .json: all.formUnion([.malformedJSON, .bodyTooLarge, .requestTimeout, .unsupportedMediaType])
        case .bytes: all.formUnion([.requestTimeout])
        case nil: break
        }
        return all
    }
}
