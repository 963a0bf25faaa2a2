import Fleet

/// Reads JSON (RFC 8259) front to back, guided by what the caller expects, without building a tree.
///
/// A text that is not JSON is refused as `malformed_json` with line, column and byte; a value of another type than
/// expected, or one that may not be there, as `invalid_request` with the name of its field, like `files[1].path`.
/// Strings are handed out as bytes: they may hold NUL and may be large.
struct JSONReader {
    private let bytes: [UInt8]
    private let subject: String  // what the text is, for messages
    private var index = 0
    private var path: [Step] = []

    private enum Step {
        case field(String)
        case element(Int)
    }

    /// Throws `malformed_json` unless all of the text is UTF-8.
    init(_ bytes: [UInt8], of subject: String = "body") throws(ServiceError) {
        self.bytes = bytes
        self.subject = subject
        do {
            _ = try UTF8Span(validating: bytes.span)
        } catch {
            throw malformed("invalid UTF-8", at: error.byteOffsets.lowerBound)
        }
    }

    /// Reads the one value the text holds. Throws if something follows it.
    mutating func document<Value>(_ read: (inout JSONReader) throws(ServiceError) -> Value) throws(ServiceError)
        -> Value
    {
        let value = try read(&self)
        skipSpace()
        guard index == bytes.count else { throw malformed("expected the end of the text") }
        return value
    }

    // MARK: Values

    /// Reads an object; `read` is called with each name and reads its value. A name given twice is refused.
    mutating func object(_ read: (inout JSONReader, String) throws(ServiceError) -> Void) throws(ServiceError) {
        try expect(UInt8(ascii: "{"), "an object")
        var seen: Set<String> = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return }
        while true {
            skipSpace()
            guard peek() == UInt8(ascii: "\"") else { throw malformed("expected a name in quotes") }
            let name = String(decoding: try scanString(), as: UTF8.self)
            path.append(.field(name))
            guard seen.insert(name).inserted else { throw invalid("is given twice") }
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw malformed("expected ':'") }
            try read(&self, name)
            path.removeLast()
            skipSpace()
            if take(UInt8(ascii: "}")) { return }
            guard take(UInt8(ascii: ",")) else { throw malformed("expected ',' or '}'") }
        }
    }

    /// Reads an array; `read` is called for each element and reads it.
    mutating func array(_ read: (inout JSONReader) throws(ServiceError) -> Void) throws(ServiceError) {
        try expect(UInt8(ascii: "["), "an array")
        skipSpace()
        if take(UInt8(ascii: "]")) { return }
        var count = 0
        while true {
            path.append(.element(count))
            try read(&self)
            path.removeLast()
            count += 1
            skipSpace()
            if take(UInt8(ascii: "]")) { return }
            guard take(UInt8(ascii: ",")) else { throw malformed("expected ',' or ']'") }
        }
    }

    /// Reads a string's UTF-8.
    mutating func stringBytes() throws(ServiceError) -> [UInt8] {
        skipSpace()
        guard peek() == UInt8(ascii: "\"") else { throw try mismatch("a string") }
        return try scanString()
    }

    mutating func string() throws(ServiceError) -> String { String(decoding: try stringBytes(), as: UTF8.self) }

    /// Reads a whole number; `1e3` and `2.0` are such too.
    mutating func integer() throws(ServiceError) -> Int {
        skipSpace()
        guard let first = peek(), first == UInt8(ascii: "-") || isDigit(first) else {
            throw try mismatch("a whole number")
        }
        let text = String(decoding: try scanNumber(), as: UTF8.self)
        guard let value = Int(text) ?? Self.whole(text) else {
            throw invalid("must be a whole number, not \(text.prefix(32))")
        }
        return value
    }

    /// The value of a number with a fraction or an exponent, if it is whole, exactly: a `Double` would round.
    private static func whole(_ text: String) -> Int? {
        let parts = text.lowercased().split(separator: "e")
        let mantissa = parts[0].split(separator: ".")
        var digits = mantissa.joined()
        guard digits.contains(where: { $0 != "-" && $0 != "0" }) else { return 0 }
        guard let exponent = parts.count > 1 ? Int(parts[1]) : 0 else { return nil }
        var zeros = exponent.subtractingReportingOverflow(mantissa.count > 1 ? mantissa[1].utf8.count : 0)
        while digits.last == "0" {
            digits.removeLast()
            zeros.partialValue &+= 1
        }
        guard !zeros.overflow, (0...18).contains(zeros.partialValue) else { return nil }
        return Int(digits + String(repeating: "0", count: zeros.partialValue))
    }

    mutating func boolean() throws(ServiceError) -> Bool {
        skipSpace()
        switch peek() {
        case UInt8(ascii: "t"):
            try scanWord("true")
            return true
        case UInt8(ascii: "f"):
            try scanWord("false")
            return false
        default: throw try mismatch("true or false")
        }
    }

    /// Reads a value of any type and returns its text. Throws `malformed_json` where it nests deeper than
    /// ``deepest``.
    @discardableResult
    mutating func any(depth: Int = 0) throws(ServiceError) -> ArraySlice<UInt8> {
        skipSpace()
        let start = index
        switch peek() {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth < Self.deepest else { throw malformed("it nests deeper than \(Self.deepest) levels") }
            if peek() == UInt8(ascii: "[") {
                try array { (reader: inout JSONReader) throws(ServiceError) in try reader.any(depth: depth + 1) }
            } else {
                try object { (reader: inout JSONReader, _: String) throws(ServiceError) in
                    try reader.any(depth: depth + 1)
                }
            }
        case UInt8(ascii: "\""): _ = try scanString()
        default: _ = try skipPlain()
        }
        return bytes[start..<index]
    }

    private static let deepest = 64

    /// Reads `null` if that is next; else reads nothing.
    mutating func null() throws(ServiceError) -> Bool {
        skipSpace()
        guard peek() == UInt8(ascii: "n") else { return false }
        try scanWord("null")
        return true
    }

    /// Whether a string is next.
    mutating func isAtString() -> Bool {
        skipSpace()
        return peek() == UInt8(ascii: "\"")
    }

    /// A refusal of the value that was just read, or is next.
    func invalid(_ what: String, hint: String = "Send what docs/API.md lists under this field.") -> ServiceError {
        ServiceError(.invalidRequest, "\(path.isEmpty ? "The \(subject)" : "'\(fieldName)'") \(what).", hint: hint)
    }

    /// Bounded: the names are the caller's. In scalars, for one character may be of any length.
    private var fieldName: String {
        var name = ""
        for step in path {
            guard name.utf8.count < 512 else { return name + "…" }
            switch step {
            case .field(let field):
                name += name.isEmpty ? "" : "."
                name.unicodeScalars += field.unicodeScalars.prefix(64)
            case .element(let index): name += "[\(index)]"
            }
        }
        return name
    }

    // MARK: Scanning

    private func peek() -> UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    private mutating func expect(_ byte: UInt8, _ what: String) throws(ServiceError) {
        skipSpace()
        guard take(byte) else { throw try mismatch(what) }
    }

    /// What is wrong when the value that is next is not `expected`: the type, or the JSON itself.
    private mutating func mismatch(_ expected: String) throws(ServiceError) -> ServiceError {
        let found =
            switch peek() {
            case UInt8(ascii: "{"): "an object"
            case UInt8(ascii: "["): "an array"
            case UInt8(ascii: "\""): "a string"
            default: try skipPlain()
            }
        return invalid("must be \(expected), not \(found)")
    }

    /// Reads a word or a number and says which.
    private mutating func skipPlain() throws(ServiceError) -> String {
        switch peek() {
        case UInt8(ascii: "t"):
            try scanWord("true")
            return "true"
        case UInt8(ascii: "f"):
            try scanWord("false")
            return "false"
        case UInt8(ascii: "n"):
            try scanWord("null")
            return "null"
        case let byte? where byte == UInt8(ascii: "-") || isDigit(byte):
            _ = try scanNumber()
            return "a number"
        default: throw malformed("expected a value")
        }
    }

    private mutating func scanWord(_ word: StaticString) throws(ServiceError) {
        for offset in 0..<word.utf8CodeUnitCount {
            guard take(word.utf8Start[offset]) else { throw malformed("expected '\(word)'") }
        }
    }

    private mutating func scanNumber() throws(ServiceError) -> ArraySlice<UInt8> {
        let start = index
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try scanDigits() }
        if take(UInt8(ascii: ".")) { try scanDigits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try scanDigits()
        }
        return bytes[start..<index]
    }

    private mutating func scanDigits() throws(ServiceError) {
        guard let first = peek(), isDigit(first) else { throw malformed("expected a digit") }
        while let byte = peek(), isDigit(byte) { index += 1 }
    }

    private mutating func scanString() throws(ServiceError) -> [UInt8] {
        let start = index
        index += 1  // the quote
        var text: [UInt8] = []
        while true {
            let run = index
            while index < bytes.count, bytes[index] != 0x22, bytes[index] != 0x5C, bytes[index] >= 0x20 { index += 1 }
            text.append(contentsOf: bytes[run..<index])
            guard let byte = peek() else { throw malformed("a string is not closed", at: start) }
            switch byte {
            case 0x22:
                index += 1
                return text
            case 0x5C:
                index += 1
                try scanEscape(into: &text)
            default:
                throw malformed("a string holds a bare control character; write it as \\u\(hexadecimal4(byte))")
            }
        }
    }

    private mutating func scanEscape(into text: inout [UInt8]) throws(ServiceError) {
        guard let byte = peek() else { throw malformed("a string is not closed") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "u"):
            let start = index - 2
            var value = try scanHex()
            if value & 0xFC00 == 0xD800, peek() == 0x5C, index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "u")
            {
                index += 2
                let low = try scanHex()
                guard low & 0xFC00 == 0xDC00 else { throw malformed("half a surrogate pair", at: start) }
                value = 0x10000 + (value & 0x3FF) << 10 + low & 0x3FF
            }
            guard let scalar = Unicode.Scalar(value) else { throw malformed("half a surrogate pair", at: start) }
            text.append(contentsOf: UTF8.encode(scalar)!)
        default: throw malformed("unknown escape", at: index - 1)
        }
    }

    private mutating func scanHex() throws(ServiceError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw malformed("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }

    private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private func hexadecimal4(_ byte: UInt8) -> String {
        "00" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }

    // MARK: Refusals

    private func malformed(_ what: String, at offset: Int? = nil) -> ServiceError {
        let offset = offset ?? index
        let before = bytes[..<offset]
        let line = before.count { $0 == 0x0A } + 1
        let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        // Columns as editors count them: characters, so continuation bytes do not count.
        let column = before[lineStart...].count { $0 & 0xC0 != 0x80 } + 1
        let found: String =
            switch offset < bytes.count ? bytes[offset] : nil {
            case nil: "the end of the text"
            case let byte? where byte > 0x20 && byte < 0x7F: "'\(Character(Unicode.Scalar(byte)))'"
            case let byte?: "byte 0x" + String(byte, radix: 16)
            }
        return ServiceError(
            .malformedJSON,
            "The \(subject) is not JSON: \(what) at line \(line), column \(column) (byte \(offset)), found \(found).",
            hint:
                "Correct the \(subject) at that place; every string and name is in double quotes, and no comma is last."
        )
    }
}
