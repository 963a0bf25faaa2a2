/// Cuts a stream of bytes into lines.
struct LineSplitter {
    static let longestLine = 8 << 20
    private var held: [UInt8] = []

    /// What is left after the last line end, if anything.
    var rest: [UInt8]? { held.isEmpty ? nil : held }

    /// The lines completed by these bytes. Throws if one is longer than 8 MiB: no server of ours sends that.
    mutating func feed(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            lines.append(held.isEmpty ? Array(bytes[start..<end]) : held + bytes[start..<end])
            held.removeAll(keepingCapacity: true)
            start = end + 1
        }
        held += bytes[start...]
        guard held.count <= Self.longestLine else {
            throw ClientError(
                .failed, code: "answer_not_understood", message: "The server sent a line without end.",
                hint: "Is it a Martlet server?")
        }
        return lines
    }
}
