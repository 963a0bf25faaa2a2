import Client
import Fleet
import Foundation
import Operator

/// The owner of this installation and where their token is kept: in the standard file, unless that is of another server;
/// then in the data directory.
struct Account: Sendable {
    let admin: FirstAdmin
    private let own: String  // the file in the data directory

    static func prepare(_ fleet: Fleet, _ settings: Settings, _ console: Console) async throws -> Account {
        console.begin("Account")
        let own = "\(settings.dataDirectory.path)/credentials.json"
        let owner = try await fleet.users.firstAdmin()?.id.description
        var token: String?
        for path in [Credentials.standardPath(), own] where token == nil && owner != nil {
            if let saved = try Credentials.load(from: path), saved.installation == owner { token = saved.token }
        }
        let admin = try await FirstAdmin.ensure(in: fleet, savedToken: token)
        console.finish(.done, "'\(admin.user.name)'" + (admin.isNewToken ? ", new token" : ""))
        return Account(admin: admin, own: own)
    }

    /// Writes the credentials for this URL and returns where.
    func save(url: String) async throws -> String {
        let credentials = Credentials(url: url, token: admin.token, installation: admin.user.id.description)
        let standard = Credentials.standardPath()
        let saved = try Credentials.load(from: standard)
        let path = await isNeeded(saved, besides: credentials) ? own : standard
        if try Credentials.load(from: path) != credentials { try credentials.save(to: path) }
        return path
    }

    /// Whether the file is another server's that may still be called: one that a person wrote, or one of a `martlet up`
    /// that answers. What answered at this URL before is gone in any case.
    private func isNeeded(_ saved: Credentials?, besides own: Credentials) async -> Bool {
        guard let saved, saved.installation != own.installation, saved.url != own.url else { return false }
        guard saved.installation != nil else { return true }
        let other = APIClient(url: saved.url, token: nil)
        return (try? await other.call("GET", "/healthz", timeout: .seconds(2))) != nil
    }
}
