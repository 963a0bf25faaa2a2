/// The encodings an execution's stream can have.
enum StreamEncoding: String, CaseIterable {
    case ndjson = "application/x-ndjson"
    case text = "text/plain"
    case sse = "text/event-stream"
    case json = "application/json"

    /// The one the `Accept` header asks for (RFC 9110, 12.5.1); the first without a header. `nil`: none would do.
    ///
    /// The highest quality wins; among equals the one named most exactly, then the one named first. So
    /// `application/json, text/plain, */*` gets JSON, and `*/*` gets NDJSON.
    static func negotiated(accept: String?) -> StreamEncoding? {
        guard let accept, accept.contains(where: { !$0.isWhitespace }) else { return .ndjson }
        let ranges = accept.split(separator: ",").compactMap { MediaRange($0) }
        var best: (encoding: StreamEncoding, quality: Double, exactness: Int, position: Int)?
        for encoding in allCases {
            let matches = ranges.enumerated().filter { $0.element.matches(encoding.rawValue) }
            guard let match = matches.max(by: { $0.element.exactness < $1.element.exactness }) else { continue }
            let (quality, exactness) = (match.element.quality, match.element.exactness)
            guard quality > 0 else { continue }
            if let best, (best.quality, best.exactness, -best.position) >= (quality, exactness, -match.offset) {
                continue
            }
            best = (encoding, quality, exactness, match.offset)
        }
        return best?.encoding
    }
}

/// One element of an `Accept` header.
struct MediaRange: Equatable {
    let type: Substring
    let subtype: Substring
    let quality: Double

    /// `nil` if it is not a media range.
    init?(_ text: Substring) {
        let parts = text.split(separator: ";", omittingEmptySubsequences: false).map(trimmed)
        let names = parts[0].lowercased().split(separator: "/", omittingEmptySubsequences: false)
        guard names.count == 2, !names[0].isEmpty, !names[1].isEmpty else { return nil }
        (type, subtype) = (names[0], names[1])
        var quality = 1.0
        for parameter in parts.dropFirst() {
            let pair = parameter.split(separator: "=", maxSplits: 1).map(trimmed)
            if pair.count == 2, pair[0] == "q" || pair[0] == "Q" { quality = Double(pair[1]) ?? 0 }
        }
        self.quality = min(max(quality, 0), 1)
    }

    var exactness: Int { type == "*" ? 0 : subtype == "*" ? 1 : 2 }

    func matches(_ mediaType: String) -> Bool {
        let names = mediaType.split(separator: "/")
        return (type == "*" || type == names[0]) && (subtype == "*" || subtype == names[1])
    }
}

private func trimmed(_ text: Substring) -> Substring {
    var text = text
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
}
