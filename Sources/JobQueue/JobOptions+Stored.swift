import Foundation

extension JobOptions {
    /// The sheet's rules for producers (section 2, "Id rules"), and what the scores can carry.
    func validate() throws(JobQueueError) {
        func refused(_ message: String) -> JobQueueError {
            JobQueueError(.invalidJob, message, hint: "Correct the options of the job.")
        }
        if let jobID {
            let parts = jobID.split(separator: ":", omittingEmptySubsequences: false).count
            guard !jobID.isEmpty, !jobID.contains("\0") else { throw refused("A job id may not be empty.") }
            guard Int(jobID) == nil, !jobID.allSatisfy(\.isNumber) else {
                throw refused("Job id '\(jobID)' is a number: these are the queue's own.")
            }
            guard !jobID.hasPrefix("0:"), parts == 1 || parts == 3 else {
                throw refused("Job id '\(jobID)' may hold a colon only as one of three parts, the first not 0.")
            }
        }
        guard (1...1_000_000).contains(attempts) else { throw refused("Attempts \(attempts): at least one is needed.") }
        guard (0...2_097_151).contains(priority) else { throw refused("Priority \(priority) is not in 0...2097151.") }
        guard (0...10_000_000_000).contains(delay.milliseconds) else {
            throw refused("Delay \(delay) is out of range.")
        }
        guard keepLogs.map({ $0 > 0 }) ?? true else { throw refused("At least one log row must be kept, or all.") }
        if let deduplication {
            guard !deduplication.id.isEmpty else { throw refused("A deduplication id may not be empty.") }
            guard (deduplication.expiry ?? .seconds(1)).milliseconds > 0 else {
                throw refused("A deduplication id must be held for some time, or until the job has ended.")
            }
        }
    }

    /// The `opts` field (sheet, section 2): integers only, `attempts` always.
    func stored() -> String {
        var fields: [String: Any] = ["attempts": attempts]
        if let jobID { fields["jobId"] = jobID }
        if let backoff {
            var stored: [String: Any] = ["type": backoff.growth.rawValue, "delay": backoff.delay.milliseconds]
            if backoff.jitter > 0 { stored["jitter"] = backoff.jitter }
            fields["backoff"] = stored
        }
        if delay > .zero { fields["delay"] = delay.milliseconds }
        if priority > 0 { fields["priority"] = priority }
        if lifo { fields["lifo"] = true }
        if let removeOnComplete { fields["removeOnComplete"] = removeOnComplete.stored }
        if let removeOnFail { fields["removeOnFail"] = removeOnFail.stored }
        if let deduplication { fields["de"] = deduplication.stored }
        if let keepLogs { fields["kl"] = keepLogs }
        if let stackTraceLimit { fields["stackTraceLimit"] = stackTraceLimit }
        if let timestamp { fields["timestamp"] = timestamp.milliseconds }
        guard let json = try? JSONSerialization.data(withJSONObject: fields, options: [.sortedKeys]) else {
            preconditionFailure("job options of plain numbers and strings are not JSON")
        }
        return String(decoding: json, as: UTF8.self)
    }

    /// Reads what any client wrote; what is absent or odd has its default.
    init(stored: String) {
        self.init()
        guard let fields = try? JSONDecoder().decode(StoredOptions.self, from: Data(stored.utf8)) else { return }
        jobID = fields.jobId?.value
        attempts = max(1, fields.attempts?.value ?? 1)
        backoff = fields.backoff?.backoff
        delay = .milliseconds(max(0, fields.delay?.value ?? 0))
        priority = max(0, fields.priority?.value ?? 0)
        lifo = fields.lifo?.value ?? false
        removeOnComplete = fields.removeOnComplete?.retention
        removeOnFail = fields.removeOnFail?.retention
        deduplication = fields.de?.deduplication
        keepLogs = fields.kl?.value
        stackTraceLimit = fields.stackTraceLimit?.value
        timestamp = (fields.timestamp?.value).map { Date(milliseconds: $0) }
    }
}

extension Retention {
    /// A Boolean, a count or an object.
    fileprivate var stored: Any {
        switch self {
        case .keepAll: return false
        case .removeAll: return true
        case .keep(let count?, nil, _): return count
        case .keep(let count, let age, let limit):
            var fields: [String: Int] = [:]
            if let count { fields["count"] = count }
            if let age { fields["age"] = age.milliseconds / 1_000 }
            if let limit { fields["limit"] = limit }
            return fields
        }
    }

    /// Count, age in seconds and how many go at once, as the finish script takes them: -1 is no limit, count 0 keeps
    /// nothing.
    var limits: (count: Int, ageInSeconds: Int, removals: Int) {
        switch self {
        case .keepAll: (-1, -1, 1_000)
        case .removeAll: (0, -1, 1_000)
        case .keep(let count, let age, let limit):
            (count ?? -1, age.map { $0.milliseconds / 1_000 } ?? -1, max(1, min(limit ?? 1_000, 1_000)))
        }
    }
}

extension Deduplication {
    fileprivate var stored: [String: Any] {
        var fields: [String: Any] = ["id": id]
        if let expiry { fields["ttl"] = expiry.milliseconds }
        if extends { fields["extend"] = true }
        if replaces { fields["replace"] = true }
        if keepsLastIfActive { fields["keepLastIfActive"] = true }
        return fields
    }
}

private struct StoredOptions: Decodable {
    let jobId: Lenient<String>?
    let attempts: Lenient<Int>?
    let backoff: StoredBackoff?
    let delay: Lenient<Int>?
    let priority: Lenient<Int>?
    let lifo: Lenient<Bool>?
    let removeOnComplete: StoredRetention?
    let removeOnFail: StoredRetention?
    let de: StoredDeduplication?
    let kl: Lenient<Int>?
    let stackTraceLimit: Lenient<Int>?
    let timestamp: Lenient<Int>?
}

/// A value of the wanted type, or none: one odd field must not cost the others.
private struct Lenient<Value: Decodable>: Decodable {
    let value: Value?

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let exact = try? container.decode(Value.self) {
            value = exact
        } else if Value.self == Int.self, let number = try? container.decode(Double.self), abs(number) < 1e15 {
            value = Int(number) as? Value
        } else {
            value = nil
        }
    }
}

/// A number (fixed, in ms) or `{type, delay, jitter}`. A type only its own client knows is taken as fixed.
private struct StoredBackoff: Decodable {
    let backoff: Backoff?

    private enum Key: String, CodingKey { case type, delay, jitter }

    init(from decoder: any Decoder) throws {
        if let number = try Lenient<Int>(from: decoder).value {
            backoff = number > 0 ? .fixed(number) : nil
        } else if let fields = try? decoder.container(keyedBy: Key.self) {
            let type = try? fields.decode(String.self, forKey: .type)
            let delay = try? fields.decode(Lenient<Int>.self, forKey: .delay).value
            let jitter = try? fields.decode(Double.self, forKey: .jitter)
            backoff = Backoff(
                type.flatMap { Backoff.Growth(rawValue: $0) } ?? .fixed, .milliseconds(max(0, delay ?? 0)),
                jitter: jitter ?? 0)
        } else {
            backoff = nil
        }
    }
}

/// A Boolean, a count or `{age, count, limit}` (sheet, 4.4 "Keep rule").
private struct StoredRetention: Decodable {
    let retention: Retention?

    private enum Key: String, CodingKey { case age, count, limit }

    init(from decoder: any Decoder) throws {
        if let all = try Lenient<Bool>(from: decoder).value {
            retention = all ? .removeAll : .keepAll
        } else if let count = try Lenient<Int>(from: decoder).value {
            retention = count == 0 ? .removeAll : .keep(count: max(0, count), age: nil)
        } else if let fields = try? decoder.container(keyedBy: Key.self) {
            let count = try? fields.decode(Lenient<Int>.self, forKey: .count).value
            let age = try? fields.decode(Lenient<Int>.self, forKey: .age).value
            let limit = try? fields.decode(Lenient<Int>.self, forKey: .limit).value
            retention = count == 0 ? .removeAll : .keep(count: count, age: age.map { .seconds($0) }, limit: limit)
        } else {
            retention = nil
        }
    }
}

/// `{id, ttl?, extend?, replace?, keepLastIfActive?}` (sheet, section 2).
private struct StoredDeduplication: Decodable {
    let deduplication: Deduplication?

    private enum Key: String, CodingKey { case id, ttl, extend, replace, keepLastIfActive }

    init(from decoder: any Decoder) throws {
        guard let fields = try? decoder.container(keyedBy: Key.self),
            let id = try? fields.decode(String.self, forKey: .id)
        else {
            deduplication = nil
            return
        }
        func isSet(_ key: Key) -> Bool { (try? fields.decode(Bool.self, forKey: key)) ?? false }
        let expiry = try? fields.decode(Lenient<Int>.self, forKey: .ttl).value
        deduplication = Deduplication(
            id: id, expiry: expiry.map { .milliseconds($0) }, extends: isSet(.extend), replaces: isSet(.replace),
            keepsLastIfActive: isSet(.keepLastIfActive))
    }
}
