import Fleet

extension RequestTarget {
    /// The number of a page's most entries; `nil` if it is not given.
    func limit(_ range: ClosedRange<Int>) throws -> Int? {
        try self["limit"].map { text in
            guard let limit = Int(text), range.contains(limit) else {
                throw ServiceError(
                    .invalidRequest,
                    "'limit' is '\(text.prefix(32))'; it must be a number from \(range.lowerBound) to \(range.upperBound).",
                    hint: "Leave it out for the usual.")
            }
            return limit
        }
    }

    /// The id of the entry where a page goes on; `nil` if it is not given.
    func identifier<ID>(_ field: String, _ read: (String) -> ID?) throws -> ID? {
        try self[field].map { text in
            guard let id = read(text) else {
                throw ServiceError(
                    .invalidRequest, "'\(field)' is no id.", hint: "Give that of the last entry of the page before.")
            }
            return id
        }
    }
}
