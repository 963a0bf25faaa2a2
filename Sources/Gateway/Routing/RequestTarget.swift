import Glibc
import Synchronization

/// The path and query of a request line, percent-decoded.
struct RequestTarget {
    /// Between the slashes; `nil` if the path is not well-formed.
    let segments: [String]?
    /// The path as it came, for messages.
    let path: String
    private let query: [String: String]

    init(_ text: String) {
        let parts = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        var segments: [String]? = []
        let rest = parts[0].dropFirst()
        for segment in parts[0] == "/" ? [] : rest.split(separator: "/", omittingEmptySubsequences: false) {
            guard parts[0].first == "/", let decoded = Self.decoded(segment), !decoded.isEmpty else {
                segments = nil
                break
            }
            segments?.append(decoded)
        }
        self.segments = segments
        var query: [String: String] = [:]
        for field in parts.dropFirst().first?.split(separator: "&") ?? [] {
            let pair = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(pair[0], isQuery: true),
                let value = pair.count == 1 ? "" : Self.decoded(pair[1], isQuery: true)
            else { continue }
            query[name] = value
        }
        self.query = query
    }

    /// The value of a query field, empty where it has none; `nil` if it is not there.
    subscript(field: String) -> String? { query[field] }

    /// Whether a query field is given and is not `0` or `false`.
    func isSet(_ field: String) -> Bool {
        switch query[field] {
        case nil, "0", "false": false
        case .some: true
        }
    }

    /// `nil` if the escapes are malformed or what they stand for is not UTF-8.
    static func decoded(_ text: Substring, isQuery: Bool = false) -> String? {
        guard text.utf8.contains(UInt8(ascii: "%")) || (isQuery && text.utf8.contains(UInt8(ascii: "+"))) else {
            return String(text)
        }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst().flatMap(hexadecimal), let low = rest.popFirst().flatMap(hexadecimal)
                else { return nil }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where isQuery: bytes.append(0x20)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8($0) }
    }

    /// The client's own id of its request if that is fit to be logged and sent on, else a new one.
    static func requestID(from header: String?) -> String {
        if let header, (1...128).contains(header.utf8.count), header.utf8.allSatisfy({ isPlain($0) }) { return header }
        return "req_" + String(UInt64.random(in: (1 << 60)...(.max)), radix: 16)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: ":"):
            true
        default: false
        }
    }
}

/// The `Date` header (RFC 9110, 5.6.7), made once a second.
enum DateHeader {
    private static let last = Mutex((second: time_t(0), text: ""))

    static func now() -> String {
        let second = time(nil)
        return last.withLock { last in
            if last.second != second { last = (second, text(of: second)) }
            return last.text
        }
    }

    static func text(of second: time_t) -> String {
        var second = second
        var parts = tm()
        gmtime_r(&second, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return days[Int(parts.tm_wday)] + ", " + two(parts.tm_mday) + " " + months[Int(parts.tm_mon)]
            + " \(parts.tm_year + 1_900) " + two(parts.tm_hour) + ":" + two(parts.tm_min) + ":" + two(parts.tm_sec)
            + " GMT"
    }
}
