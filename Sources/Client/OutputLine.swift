import Foundation

/// Reads the one kind of event that comes in masses, `{"event":"stdout","seq":1,"data":"…"}`, without a JSON decoder:
/// ten times as fast, which is what `martlet run` costs on a program that prints much.
enum OutputLine {
    /// Nil if the line is not written exactly so, which says nothing about its being valid: ask a decoder then.
    static func parse(_ line: [UInt8]) -> (toError: Bool, bytes: [UInt8])? {
        line.withUnsafeBufferPointer { line in
            var rest = line[...]
            let toError: Bool
            if skip("{\"event\":\"stdout\",\"seq\":", in: &rest) {
                toError = false
            } else if skip("{\"event\":\"stderr\",\"seq\":", in: &rest) {
                toError = true
            } else {
                return nil
            }
            rest = rest.drop { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard skip(",\"data\":\"", in: &rest), let text = unescapedString(&rest) else { return nil }
            if rest.elementsEqual("}".utf8) { return (toError, text) }
            guard rest.elementsEqual(",\"encoding\":\"base64\"}".utf8) else { return nil }
            return Data(base64Encoded: Data(text)).map { (toError, Array($0)) }
        }
    }

    private typealias Rest = Slice<UnsafeBufferPointer<UInt8>>

    private static func skip(_ text: StaticString, in rest: inout Rest) -> Bool {
        let expected = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        guard rest.starts(with: expected) else { return false }
        rest = rest.dropFirst(expected.count)
        return true
    }

    /// The string up to its closing quote, which is taken too. Nil for an escape that is not of JSON, a lone surrogate
    /// or no end. Copies whole stretches between escapes.
    private static func unescapedString(_ rest: inout Rest) -> [UInt8]? {
        var text: [UInt8] = []
        text.reserveCapacity(rest.count)
        while let stop = rest.firstIndex(where: { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }) {
            text.append(contentsOf: rest[..<stop])
            let isEnd = rest[stop] == UInt8(ascii: "\"")
            rest = rest[(stop + 1)...]
            if isEnd { return text }
            guard let escape = rest.popFirst() else { return nil }
            switch escape {
            case UInt8(ascii: "n"): text.append(0x0A)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "r"): text.append(0x0D)
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0C)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
            case UInt8(ascii: "u"):
                guard let scalar = scalar(&rest) else { return nil }
                text.append(contentsOf: String(Character(scalar)).utf8)
            default: return nil
            }
        }
        return nil
    }

    /// What `\u` names; two of them for a scalar above U+FFFF.
    private static func scalar(_ rest: inout Rest) -> Unicode.Scalar? {
        guard let first = fourDigits(&rest) else { return nil }
        guard (0xD800..<0xDC00).contains(first) else { return Unicode.Scalar(first) }
        guard skip("\\u", in: &rest), let second = fourDigits(&rest), (0xDC00..<0xE000).contains(second) else {
            return nil
        }
        return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    }

    private static func fourDigits(_ rest: inout Rest) -> UInt32? {
        guard rest.count >= 4 else { return nil }
        defer { rest = rest.dropFirst(4) }
        var value: UInt32 = 0
        for byte in rest.prefix(4) {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - 0x30)
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - 0x57)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - 0x37)
            default: return nil
            }
        }
        return value
    }
}
