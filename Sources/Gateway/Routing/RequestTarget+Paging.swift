import Fleet
import Foundation

// What the query says, read; `nil` where a field is not given. All throw `invalid_request` that names the field.
extension RequestTarget {
    /// The number of a page's most entries.
    func limit(_ range: ClosedRange<Int>) throws -> Int? { try number("limit", range) }

    func number(_ field: String, _ range: ClosedRange<Int>) throws -> Int? {
        try self[field].map { text in
            guard let number = Int(text), range.contains(number) else {
                throw refusal(field, "must be a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
    }

    /// The id of the entry where a page goes on.
    func identifier<ID>(_ field: String, _ read: (String) -> ID?) throws -> ID? {
        try self[field].map { text in
            guard let id = read(text) else {
                throw ServiceError(
                    .invalidRequest, "'\(field)' is no id.", hint: "Give that of the last entry of the page before.")
            }
            return id
        }
    }

    /// `true` or `false`.
    func flag(_ field: String) throws -> Bool? {
        switch self[field] {
        case nil: nil
        case "true", "1": true
        case "false", "0": false
        case .some: throw refusal(field, "must be 'true' or 'false'")
        }
    }

    func choice<Value: CaseIterable & RawRepresentable<String>>(
        _ field: String, of values: [Value] = Array(Value.allCases)
    ) throws -> Value? {
        try self[field].map { try choice($0, field, values) }
    }

    /// One or more, between commas.
    func choices<Value: CaseIterable & RawRepresentable<String> & Hashable>(
        _ field: String, of type: Value.Type
    ) throws -> Set<Value>? {
        try self[field].map { text in
            let names = text.split(separator: ",", omittingEmptySubsequences: false)
            return Set(try names.map { try choice(String($0), field, Array(Value.allCases)) })
        }
    }

    /// A moment as RFC 3339 writes it.
    func date(_ field: String) throws -> Date? {
        try self[field].map { text in
            let whole = try? Date(text, strategy: .iso8601)
            guard let date = whole ?? (try? Date(text, strategy: .iso8601.time(includingFractionalSeconds: true)))
            else { throw refusal(field, "must be a time such as '2026-01-31T12:00:00Z'") }
            return date
        }
    }

    private func choice<Value: RawRepresentable<String>>(
        _ text: String, _ field: String, _ values: [Value]
    ) throws -> Value {
        guard let value = values.first(where: { $0.rawValue == text }) else {
            throw refusal(field, "must be one of: \(values.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    private func refusal(_ field: String, _ demand: String) -> ServiceError {
        ServiceError(
            .invalidRequest, "'\(field)' is '\(self[field]?.prefix(32) ?? "")'; it \(demand).",
            hint: "Leave it out for the usual.")
    }
}
