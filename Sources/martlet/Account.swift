import Client
import Fleet
import Foundation
import Operator

/// The owner of this installation and where their token is kept.
struct Account: Sendable {
    let admin: FirstAdmin
    let path: String  // of the credentials

    /// Finds or makes them. A credentials file that belongs to another server is left alone: then this one's are kept
    /// in the data directory.
    static func prepare(_ fleet: Fleet, _ settings: Settings, _ console: Console) async throws -> Account {
        console.begin("Account")
        let standard = Credentials.standardPath()
        let own = "\(settings.dataDirectory.path)/credentials.json"
        let saved = try Credentials.load(from: standard)
        let owner = try await fleet.users.firstAdmin()?.id.description
        let isForeign = saved.map { $0.installation != owner } ?? false
        let path = isForeign ? own : standard
        let token = isForeign ? try Credentials.load(from: own)?.token : saved?.token
        let admin = try await FirstAdmin.ensure(in: fleet, savedToken: token)
        console.finish(
            .done,
            "'\(admin.user.name)'" + (admin.isNewToken ? ", new token" : "")
                + (isForeign ? "; '\(standard)' is of another server and stays as it is" : ""))
        return Account(admin: admin, path: path)
    }

    /// Writes the credentials for this URL and returns where.
    func save(url: String) throws -> String {
        let credentials = Credentials(url: url, token: admin.token, installation: admin.user.id.description)
        if try Credentials.load(from: path) != credentials { try credentials.save(to: path) }
        return path
    }
}
