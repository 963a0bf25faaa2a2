package import Fleet

/// Where something is below the home of a VM's programs: parts of any bytes but `/` and NUL, none of them empty, `.` or
/// `..`. So it says no way out by itself; what links say is ``HomeFiles``' affair.
package struct HomePath: Sendable, Hashable, CustomStringConvertible {
    package let parts: [[UInt8]]  // none: the home itself

    /// As Linux has it (`NAME_MAX`, `PATH_MAX`), with room for where the home is.
    private static let longestPart = 255
    private static let longestPath = 3_800

    /// Throws `path_outside_home` for `..` and `invalid_request` for what can be no path.
    package init(parts: [[UInt8]]) throws(ServiceError) {
        for part in parts {
            guard part != [0x2e, 0x2e] else {
                throw ServiceError(
                    .pathOutsideHome, "A path may not hold '..'.", hint: "Give the path from the programs' home.")
            }
            guard !part.isEmpty, part != [0x2e], part.count <= Self.longestPart, !part.contains(0),
                !part.contains(UInt8(ascii: "/"))
            else {
                throw Self.invalid("Its parts have 1 to 255 bytes, and are not '.'.")
            }
        }
        guard parts.reduce(0, { $0 + $1.count + 1 }) <= Self.longestPath else {
            throw Self.invalid("It has at most \(Self.longestPath) bytes.")
        }
        self.parts = parts
    }

    /// Reads a path as it stands in a URL, escapes and all: `docs/caf%C3%A9`. One slash at the end is taken.
    package init(encoded text: some StringProtocol) throws(ServiceError) {
        var parts: [[UInt8]] = []
        for part in text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            guard let bytes = Self.decoded(part) else { throw Self.invalid("Escapes are '%' and two digits.") }
            parts.append(bytes)
        }
        if parts.last == [] { parts.removeLast() }
        if parts.first == [] {
            throw ServiceError(
                .pathOutsideHome, "A path may not begin with '/'.", hint: "Give the path from the programs' home.")
        }
        try self.init(parts: parts)
    }

    private static func invalid(_ hint: String) -> ServiceError {
        ServiceError(.invalidRequest, "That is no path of a file.", hint: hint)
    }

    private static func decoded(_ text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8($0) }
    }

    /// As ``init(encoded:)`` reads it: what is not unreserved in a URL (RFC 3986) is escaped, byte by byte.
    package var encoded: String { parts.map { Self.encoded($0) }.joined(separator: "/") }

    package static func encoded(_ part: [UInt8]) -> String {
        var text = ""
        for byte in part {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                text +=
                    byte < 16
                    ? "%0" + String(byte, radix: 16, uppercase: true)
                    : "%" + String(byte, radix: 16, uppercase: true)
            }
        }
        return text
    }

    package var isHome: Bool { parts.isEmpty }
    package var name: [UInt8] { parts.last ?? [] }
    var parent: HomePath { HomePath(checked: Array(parts.dropLast())) }

    private init(checked parts: [[UInt8]]) { self.parts = parts }

    /// `name` is one that a directory has.
    package func appending(_ name: [UInt8]) -> HomePath { HomePath(checked: parts + [name]) }

    /// For messages: what is not text is shown as such.
    package var description: String {
        isHome ? "." : parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
    }
}
