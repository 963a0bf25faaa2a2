/// Something that shall go wrong. In JSON as it is here, for `POST /simulator/faults`.
package struct Fault: Codable, Sendable {
    package enum Drop: String, Codable, Sendable { case before, after }  // the call has its effect
    package enum Build: String, Codable, Sendable { case stuck, error, noAddress }

    /// "POST /cloud/project/*/instance": `*` stands for one part of the path, and a method `*` for any.
    package var route: String
    package var count: Int?  // how many calls it meets; one
    package var skip: Int?  // how many it lets pass first; none
    package var delayMs: Int?
    package var status: Int?  // answered, without effect
    package var errorCode: String?
    package var retryAfter: Int?  // seconds
    package var body: String?  // instead of JSON
    package var drop: Drop?  // closes the connection without an answer
    package var build: Build?  // what becomes of an instance ordered by the call

    package init(
        _ route: String, count: Int? = nil, skip: Int? = nil, delayMs: Int? = nil, status: Int? = nil,
        errorCode: String? = nil, retryAfter: Int? = nil, body: String? = nil, drop: Drop? = nil, build: Build? = nil
    ) {
        self.route = route
        self.count = count
        self.skip = skip
        self.delayMs = delayMs
        self.status = status
        self.errorCode = errorCode
        self.retryAfter = retryAfter
        self.body = body
        self.drop = drop
        self.build = build
    }

    func matches(_ method: String, _ path: [String]) -> Bool {
        let words = route.split(separator: " ", maxSplits: 1)
        guard words.count == 2, words[0] == "*" || words[0] == method else { return false }
        let parts = words[1].split(separator: "/")
        return parts.count == path.count && zip(parts, path).allSatisfy { $0 == "*" || $0 == $1 }
    }
}

/// The faults that are still to happen, in the order they were asked for.
struct FaultBook {
    private var faults: [Fault] = []

    mutating func add(_ fault: Fault) { faults.append(fault) }
    mutating func clear() { faults = [] }

    /// The fault that meets this call, used up by it.
    mutating func next(_ method: String, _ path: [String]) -> Fault? {
        for index in faults.indices where faults[index].matches(method, path) {
            if let skip = faults[index].skip, skip > 0 {
                faults[index].skip = skip - 1
                continue
            }
            let fault = faults[index]
            faults[index].count = (fault.count ?? 1) - 1
            if (faults[index].count ?? 0) <= 0 { faults.remove(at: index) }
            return fault
        }
        return nil
    }
}
