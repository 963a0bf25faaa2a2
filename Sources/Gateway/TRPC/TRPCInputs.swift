import Fleet

/// The inputs of a request's calls, from the query or the body.
struct TRPCInputs: Sendable {
    private enum Content {
        case none
        case one([UInt8])
        case byIndex([Int: [UInt8]])
        case bad(ServiceError)
    }
    private let content: Content
    /// What is wrong with the input of every call, of those that take none as well: a batch's is an object.
    let faultOfAll: ServiceError?

    /// `text` is what was sent: JSON, nothing at all, or why it could not be had.
    init(_ text: Result<[UInt8], ServiceError>, isBatch: Bool) {
        var faultOfAll: ServiceError?
        do throws(ServiceError) {
            let bytes = try text.get()
            if bytes.isEmpty {
                content = .none
            } else if !isBatch {
                content = .one(bytes)
            } else if let inputs = try Self.split(bytes) {
                content = .byIndex(inputs)
            } else {
                let error = Self.notAnObject
                (content, faultOfAll) = (.bad(error), error)
            }
        } catch {
            content = .bad(error)
        }
        self.faultOfAll = faultOfAll
    }

    subscript(index: Int) -> Result<[UInt8]?, ServiceError> {
        switch content {
        case .none: .success(nil)
        case .one(let bytes): .success(bytes)
        case .byIndex(let inputs): .success(inputs[index])
        case .bad(let error): .failure(error)
        }
    }

    private static let notAnObject = ServiceError(
        .invalidRequest, "\"input\" needs to be an object when doing a batch call",
        hint: "Key the inputs by the index of their call: {\"0\":…,\"1\":…}.")

    /// `{"0":…,"1":…}`; a call without input has no key, and keys without a call do no harm. `nil` for other JSON.
    private static func split(_ bytes: [UInt8]) throws(ServiceError) -> [Int: [UInt8]]? {
        var reader = try JSONReader(bytes, of: "input")
        var inputs: [Int: [UInt8]] = [:]
        var isObject = true
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            guard bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") else {
                isObject = false
                try reader.any()
                return
            }
            try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
                let value = Array(try reader.any())
                if let index = Int(name), "\(index)" == name { inputs[index] = value }
            }
        }
        return isObject ? inputs : nil
    }
}
