import Fleet
import HTTPTypes

/// What answers one method on one path.
struct Route: Sendable {
    /// Parts of the path that were written as `{name}` in the template, by that name.
    typealias Parameters = [String: String]

    enum Handler: Sendable {
        case anyone(@Sendable (Exchange) async throws -> Void)
        case caller(@Sendable (Exchange, Caller, Parameters) async throws -> Void)
        /// A person, at a page; who is not signed in is sent to do so.
        case visitor(@Sendable (Exchange, Caller, Parameters) async throws -> Void)
    }

    let method: HTTPRequest.Method
    let path: String  // with `{name}` where a part is given by the client, and at its end maybe many parts
    let description: RouteDescription
    let handler: Handler
    private let template: [Substring]
    private let takesRest: Bool

    private init(
        _ method: HTTPRequest.Method, _ path: String, _ description: RouteDescription, _ handler: Handler
    ) {
        self.method = method
        takesRest = path.hasSuffix("...}")  // `{name...}`
        let path = takesRest ? String(path.dropLast(4)) + "}" : path
        self.path = path
        self.description = description
        self.handler = handler
        template = path == "/" ? [] : path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
    }

    var needsToken: Bool {
        switch handler {
        case .caller: true
        case .anyone, .visitor: false
        }
    }

    /// A route that needs no token.
    static func open(
        _ method: HTTPRequest.Method, _ path: String, _ description: RouteDescription,
        _ handle: @escaping @Sendable (Exchange) async throws -> Void
    ) -> Route {
        Route(method, path, description, .anyone(handle))
    }

    static func authenticated(
        _ method: HTTPRequest.Method, _ path: String, _ description: RouteDescription,
        _ handle: @escaping @Sendable (Exchange, Caller, Parameters) async throws -> Void
    ) -> Route {
        Route(method, path, description, .caller(handle))
    }

    /// A page for those who have signed in. Pages are not in the API's description.
    static func page(
        _ method: HTTPRequest.Method, _ path: String,
        _ handle: @escaping @Sendable (Exchange, Caller, Parameters) async throws -> Void
    ) -> Route {
        Route(method, path, .page(path), .visitor(handle))
    }

    /// A page for everybody.
    static func openPage(
        _ method: HTTPRequest.Method, _ path: String, _ handle: @escaping @Sendable (Exchange) async throws -> Void
    ) -> Route {
        Route(method, path, .page(path), .anyone(handle))
    }

    /// The path's parameters, or `nil` if it is not of this template. Those that take the rest of a path have it as it
    /// came, with its escapes: it need not be text.
    func match(_ target: RequestTarget) -> Parameters? {
        if takesRest, let last = template.last {
            let parts = target.path.dropFirst().split(
                separator: "/", maxSplits: template.count - 1, omittingEmptySubsequences: false)
            guard parts.count >= template.count - 1, parts.prefix(template.count - 1) == template.dropLast() else {
                return nil
            }
            return [String(last.dropFirst().dropLast()): parts.count == template.count ? String(parts.last ?? "") : ""]
        }
        guard let segments = target.segments, segments.count == template.count else { return nil }
        var parameters: Parameters = [:]
        for (segment, part) in zip(segments, template) {
            if part.first == "{" {
                parameters[String(part.dropFirst().dropLast())] = segment
            } else if segment != part {
                return nil
            }
        }
        return parameters
    }
}

/// What answers everything under a path, by whatever method, and tells its own errors.
struct Subtree: Sendable {
    let prefix: String  // ends with a slash
    let handle: @Sendable (Exchange) async throws -> Void
}

/// All routes there are.
struct RouteTable: Sendable {
    enum Match {
        case subtree(Subtree)
        case route(Route, Route.Parameters)
        case otherMethods([HTTPRequest.Method])
        case none
    }

    let routes: [Route]
    var subtrees: [Subtree] = []

    /// A `HEAD` is answered by the `GET` of its path.
    func match(_ method: HTTPRequest.Method, _ target: RequestTarget) -> Match {
        if let subtree = subtrees.first(where: { target.path.hasPrefix($0.prefix) }) { return .subtree(subtree) }
        var methods: [HTTPRequest.Method] = []
        for route in routes {
            guard let parameters = route.match(target) else { continue }
            if route.method == (method == .head ? .get : method) { return .route(route, parameters) }
            methods.append(route.method)
            if route.method == .get { methods.append(.head) }
        }
        return methods.isEmpty ? .none : .otherMethods(methods + [.options])
    }
}
