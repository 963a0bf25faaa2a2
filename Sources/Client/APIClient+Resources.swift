import Foundation

extension APIClient {
    /// One part of a path. Throws `invalid_name` for what can be none: nothing at all, and the dots that mean a directory.
    package static func pathSegment(_ name: String) throws -> String {
        guard !name.isEmpty, name != ".", name != "..",
            let escaped = name.addingPercentEncoding(withAllowedCharacters: segmentCharacters)
        else {
            throw ClientError(
                .refused, code: "invalid_name", message: "'\(name)' is no name and no id.", hint: "Say what is meant.")
        }
        return escaped
    }

    /// The path with a query of what is not `nil`.
    package static func path(_ path: String, _ query: [(String, String?)]) -> String {
        let fields = query.compactMap { name, value in
            value.flatMap { $0.addingPercentEncoding(withAllowedCharacters: segmentCharacters) }.map { "\(name)=\($0)" }
        }
        return fields.isEmpty ? path : "\(path)?\(fields.joined(separator: "&"))"
    }

    /// RFC 3986, "unreserved"; whether more would do depends on the place.
    private static let segmentCharacters = CharacterSet(
        charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    // MARK: Lists

    /// How a list goes on after a page.
    package enum Paging: Sendable {
        /// This parameter is given fields of the last entry, with slashes between.
        case last(parameter: String, fields: [String] = ["id"])
        /// This parameter is given what the answer says in a field; null: there is no more.
        case cursor(parameter: String, field: String)
        /// There is one page.
        case whole
    }

    /// The first of a list, and whether there are more.
    package struct Listing: Sendable {
        package var entries: [JSONValue]
        package var isCut: Bool

        package init(entries: [JSONValue] = [], isCut: Bool = false) {
            self.entries = entries
            self.isCut = isCut
        }
    }

    /// Asks for page after page until there are `limit` entries, or no more.
    package func list(
        _ path: String, _ query: [(String, String?)] = [], field: String, paging: Paging, limit: Int
    ) async throws -> Listing {
        var entries: [JSONValue] = []
        var position: (String, String?)?
        while true {
            // One more than is wanted, to know whether there are more.
            let wanted = min(Self.largestPage, limit - entries.count + 1)
            var fields = query
            if case .whole = paging {} else { fields.append(("limit", "\(wanted)")) }
            if let position { fields.append(position) }
            let page = try await call("GET", Self.path(path, fields)).decoded(as: JSONValue.self)
            let added = page[field]?.values ?? []
            entries += added
            switch paging {
            case .last(let parameter, let fields):
                let last = fields.compactMap { added.last?[$0]?.text }.joined(separator: "/")
                position = added.count < wanted || last.isEmpty ? nil : (parameter, last)
            case .cursor(let parameter, let field): position = page[field]?.text.map { (parameter, $0) }
            case .whole: position = nil
            }
            guard entries.count <= limit else {
                return Listing(entries: Array(entries.prefix(limit)), isCut: true)
            }
            if position == nil || added.isEmpty { return Listing(entries: entries, isCut: false) }
        }
    }

    /// The most entries that the API gives in one page of any list.
    private static let largestPage = 200

    // MARK: Making things

    /// Posts what makes something, as one call however often it is sent: where no answer came, it is sent again.
    package func create(_ path: String, json body: some Encodable & Sendable) async throws -> Answer {
        let bytes = try Array(JSONEncoder().encode(body))  // once: another order of fields would be another request
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", UUID().uuidString.lowercased())]
        for pause in Self.pausesBetweenTries {
            do {
                return try await post(path, bytes: bytes, headers: headers, timeout: .seconds(90))
            } catch let error as ClientError where error.leavesOpen {
                try await Task.sleep(for: pause)
            }
        }
        return try await post(path, bytes: bytes, headers: headers, timeout: .seconds(90))
    }

    private static let pausesBetweenTries: [Duration] = [.milliseconds(200), .seconds(1)]
}

extension ClientError {
    /// Nobody knows whether the call was carried out, or it still is.
    fileprivate var leavesOpen: Bool { code == "http_connection_closed" || code == "idempotency_conflict" }
}
