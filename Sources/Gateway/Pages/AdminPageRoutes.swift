import Fleet
import HTTPTypes

/// `/admin/…`: the API for admins as pages.
struct AdminPageRoutes: Sendable {
    let shell: PageShell

    private enum Section: String, CaseIterable {
        case overview, vms, users, queues, hosts, audit

        var title: String {
            switch self {
            case .overview: "Overview"
            case .vms: "VMs"
            case .users: "Users"
            case .queues: "Queues"
            case .hosts: "Hosts"
            case .audit: "Audit"
            }
        }

        var path: String { self == .overview ? "/admin" : "/admin/\(rawValue)" }
        /// Of its template and its script.
        var name: String { self == .overview ? "admin" : "admin-\(rawValue)" }
    }

    var routes: [Route] {
        Section.allCases.map { section in
            .page(.get, section.path) { exchange, caller, _ in
                guard caller.isAdmin else {
                    throw ServiceError(
                        .forbidden, "This page is for admins.",
                        hint: caller.role == .admin
                            ? "Sign in with a token of the scope 'admin': 'martlet token create --admin'."
                            : "Ask an admin of this server.")
                }
                let sections = Section.allCases.map { each in
                    ["title": each.title, "path": each.path, "isCurrent": each == section] as PageShell.Context
                }
                try await shell.show(
                    exchange, section.name, title: section.title, section: .admin, caller: caller,
                    scripts: ["\(section.name).js"], styles: ["admin.css"], context: ["adminSections": sections])
            }
        }
    }
}
