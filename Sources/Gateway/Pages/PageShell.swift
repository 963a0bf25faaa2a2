import Fleet
import HTTPTypes
import Mustache
import NIOCore

/// Makes whole pages of templates: what all of them have around what is their own, and the headers that go with them.
///
/// A page is of this server alone: its policy (Content Security Policy 3) lets it load, run and call nothing else, and
/// nothing inline runs. What it begins with is JSON in an attribute, escaped as every value in a template is, so that
/// there is no script to be written.
struct PageShell: Sendable {
    /// What the navigation leads to.
    enum Section: String, CaseIterable, Sendable {
        case playground, vm, terminal, files, admin

        var title: String {
            switch self {
            case .playground: "Playground"
            case .vm: "My VM"
            case .terminal: "Terminal"
            case .files: "Files"
            case .admin: "Admin"
            }
        }

        var path: String {
            switch self {
            case .playground: "/"
            case .vm: "/my-vm"
            case .terminal: "/terminal"
            case .files: "/files"
            case .admin: "/admin"
            }
        }
    }

    typealias Context = [String: any Sendable]

    let files: PageFiles
    /// Which there are here.
    let sections: [Section]
    /// What a user is called.
    let name: @Sendable (Caller) async throws -> String

    static let policy = """
        default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
        font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'
        """

    /// What keeps pages from being framed, sniffed, kept and told about. Forms say where they come from (`Origin`) under
    /// this referrer policy, and under `no-referrer` would not.
    static let headers: HTTPFields = [
        .contentType: "text/html; charset=utf-8", .cacheControl: "no-store", .contentTypeOptions: "nosniff",
        .referrerPolicy: "same-origin", .contentSecurityPolicy: policy, .openerPolicy: "same-origin",
        .resourcePolicy: "same-origin",
    ]

    /// Answers with a page.
    /// - Parameters:
    ///   - template: the name of its file, without `.mustache`.
    ///   - scripts: its modules, by their names as assets.
    ///   - data: what its scripts begin with.
    func show(
        _ exchange: Exchange, _ template: String, title: String, section: Section? = nil, caller: Caller? = nil,
        status: HTTPResponse.Status = .ok, scripts: [String] = [], styles: [String] = [], headers: HTTPFields = [:],
        context: Context = [:], data: (any Encodable)? = nil
    ) async throws {
        var all = context
        all["title"] = title
        all["assets"] = "/assets/\(files.version)"
        all["scripts"] = scripts
        all["styles"] = styles
        all["path"] = exchange.target.path
        all["imports"] = files.imports(of: scripts + ["shell.js"])
        if let theme = exchange.head.cookie("martlet_theme"), ["light", "dark"].contains(theme) {
            all["theme"] = theme
        }
        if let data { all["data"] = String(decoding: try JSONView.encode(data), as: UTF8.self) }
        if let caller {
            all["user"] = ["name": try await name(caller), "isAdmin": caller.isAdmin] as Context
            all["sections"] = sections.filter { $0 != .admin || caller.isAdmin }
                .map { ["title": $0.title, "path": $0.path, "isCurrent": $0 == section] as Context }
        }
        guard let text = files.templates.render(all, withTemplate: template) else {
            throw ServiceError(
                .internalError, "The page '\(template)' is not installed.",
                hint: "Install Martlet's files again: 'make install'.")
        }
        var fields = Self.headers
        for field in headers { fields.append(field) }
        try await exchange.respond(status, headers: fields, body: ByteBuffer(string: text))
    }

    /// Tells a person what went wrong and what to do.
    func show(
        _ exchange: Exchange, _ error: ServiceError, status: HTTPResponse.Status, headers: HTTPFields = [:]
    ) async throws {
        try await show(
            exchange, "error", title: error.code == .accountSuspended ? "Suspended" : Self.title(of: status),
            status: status, headers: headers,
            context: [
                "status": status.code, "message": error.message, "hint": error.hint, "code": error.code.rawValue,
                "request": exchange.id, "isUnknown": status == .notFound,
                "isSuspended": error.code == .accountSuspended,
            ])
    }

    private static func title(of status: HTTPResponse.Status) -> String {
        switch status {
        case .notFound: "There is nothing here"
        case .forbidden: "This is not for you"
        case .tooManyRequests: "Slower, please"
        case .serviceUnavailable: "Not ready"
        default: status.code >= 500 ? "Something broke" : "That did not work"
        }
    }
}

extension Exchange {
    /// Whether a person's browser asks, and for a page: it names HTML, which no program's client does by itself.
    var prefersPage: Bool {
        guard head.method == .get || head.method == .head || head.method == .post else { return false }
        let paths = ["/v1/", "/api/", "/assets/"]
        guard !paths.contains(where: { target.path.hasPrefix($0) }) else { return false }
        let ranges = head.headerFields[.accept]?.split(separator: ",").compactMap { MediaRange($0) } ?? []
        return ranges.contains { $0.type == "text" && $0.subtype == "html" && $0.quality > 0 }
    }

    /// Sends the client elsewhere, to ask there with `GET`.
    func redirect(to path: String, headers: HTTPFields = [:]) async throws {
        var headers = headers
        headers[.location] = path
        headers[.cacheControl] = "no-store"
        try await respond(.seeOther, headers: headers)
    }
}

extension HTTPField.Name {
    static let openerPolicy = HTTPField.Name("Cross-Origin-Opener-Policy")!
    static let resourcePolicy = HTTPField.Name("Cross-Origin-Resource-Policy")!
}
