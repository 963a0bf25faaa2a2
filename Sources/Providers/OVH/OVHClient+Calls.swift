import Foundation

// The calls of a project that instances are made with.
extension OVHClient {
    private var root: String { "/cloud/project/\(configuration.project)" }

    // MARK: Reading

    func regions() async throws -> [String] { try await get("\(root)/region") }

    func flavors(in region: String) async throws -> [OVHFlavor] {
        try await get("\(root)/flavor", [("region", region)])
    }

    func images(in region: String) async throws -> [OVHImage] {
        try await get("\(root)/image", [("osType", "linux"), ("region", region)])
    }

    func quota(in region: String) async throws -> OVHQuota { try await get("\(root)/region/\(encoded(region))/quota") }

    func sshKeys() async throws -> [OVHSSHKey] { try await get("\(root)/sshkey") }

    /// In all regions, without what ``instance(_:)`` says besides.
    func instances() async throws -> [OVHInstance] { try await get("\(root)/instance") }

    /// `nil` if there is none of that id.
    func instance(_ id: String) async throws -> OVHInstance? {
        do {
            return try await get("\(root)/instance/\(encoded(id))")
        } catch let error as OVHError where error.kind == .notFound {
            return nil
        }
    }

    /// What the project is called by a person; for finding out whether it can be reached.
    func projectName() async throws -> String {
        struct Project: Decodable {
            var description: String?
            var status: String?
        }
        let project: Project = try await get(root)
        return project.description ?? configuration.project
    }

    // MARK: Changing

    func createSSHKey(name: String, publicKey: String, region: String) async throws -> OVHSSHKey {
        struct Body: Encodable {
            let name: String
            let publicKey: String
            let region: String
        }
        return try await post("\(root)/sshkey", Body(name: name, publicKey: publicKey, region: region), .ifRefused)
    }

    /// A key that is gone already is as good as deleted.
    func deleteSSHKey(_ id: String) async throws { try await delete("\(root)/sshkey/\(encoded(id))") }

    /// Sent once and never again: names are not unique, and a second one costs.
    func createInstance(_ order: OVHInstanceOrder) async throws -> OVHInstance {
        try await post("\(root)/instance", order, .never)
    }

    enum Action: String { case start, stop, unshelve }

    func perform(_ action: Action, on id: String) async throws {
        _ = try await send(
            Call(
                method: .post, path: "\(root)/instance/\(encoded(id))/\(action.rawValue)", repetition: .ifRefused))
    }

    /// An instance that is gone already is as good as deleted.
    func deleteInstance(_ id: String) async throws { try await delete("\(root)/instance/\(encoded(id))") }

    // MARK: Inside

    private func encoded(_ text: String) -> String { OVHEndpoint.encoded(text) }

    private func get<Answer: Decodable>(_ path: String, _ query: [(String, String)] = []) async throws -> Answer {
        try decode(
            try await send(Call(method: .get, path: path, query: query, repetition: .always)), of: "GET \(path)")
    }

    private func post<Answer: Decodable>(
        _ path: String, _ body: some Encodable, _ repetition: Repetition
    ) async throws -> Answer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = [UInt8](try encoder.encode(body))
        return try decode(
            try await send(Call(method: .post, path: path, body: bytes, repetition: repetition)), of: "POST \(path)")
    }

    private func delete(_ path: String) async throws {
        do {
            _ = try await send(Call(method: .delete, path: path, repetition: .always))
        } catch let error as OVHError where error.kind == .notFound {}
    }
}
