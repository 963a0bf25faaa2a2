import Fleet
import HTTPTypes

/// The pages: for people, and so not in the API's description. They ask nothing of the server but what the API offers
/// everybody; a visitor's cookie stands in the place of the token.
struct PageRoutes: Sendable {
    let shell: PageShell
    let sessions: SessionOperations
    let operations: GatewayOperations
    let configuration: GatewayConfiguration

    /// `nil` where there are no pages.
    init?(operations: GatewayOperations, configuration: GatewayConfiguration) {
        guard let files = configuration.pages, let sessions = operations.sessions else { return nil }
        shell = PageShell(
            files: files, sections: [.playground, .vm, .terminal, .files, .admin], name: sessions.name)
        self.sessions = sessions
        self.operations = operations
        self.configuration = configuration
    }

    var routes: [Route] {
        [AssetRoutes(files: shell.files).route]
            + SignInRoutes(shell: shell, sessions: sessions, configuration: configuration).routes
            + PlaygroundRoutes(shell: shell, operations: operations).routes
            + MyVMRoutes(shell: shell, operations: operations, configuration: configuration).routes
            + TerminalPageRoutes(shell: shell, operations: operations).routes
            + FilePageRoutes(shell: shell, operations: operations).routes
            + AdminPageRoutes(shell: shell).routes
    }
}

/// `/assets/{version}/{name}`: what is at such a path is there for ever, so browsers keep it and never ask again.
struct AssetRoutes: Sendable {
    let files: PageFiles

    var route: Route {
        .openPage(.get, "/assets/{version}/{name}") { exchange in
            let segments = exchange.target.segments ?? []
            guard segments.count == 3, segments[1] == files.version, let asset = files.assets[segments[2]] else {
                throw ServiceError(
                    .routeNotFound, "There is no such file in this version of the pages.", hint: "Load the page again.")
            }
            try await exchange.respond(
                .ok,
                headers: [
                    .contentType: asset.contentType, .cacheControl: "public, max-age=31536000, immutable",
                    .contentTypeOptions: "nosniff", .resourcePolicy: "same-origin",
                ], body: asset.body)
        }
    }
}
