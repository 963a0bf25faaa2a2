import Fleet
import Foundation

@testable import Gateway

/// A JSON value as `JSONReader` reads it and as Foundation does, to be compared. Texts are bytes: texts that look the same
/// are not the same here.
indirect enum JSONTree: Equatable, Decodable {
    case null
    case flag(Bool)
    case number(Double)
    case text([UInt8])
    case list([JSONTree])
    case object([[UInt8]: JSONTree])

    /// As `JSONReader` has it. Throws `ServiceError`.
    static func read(_ bytes: [UInt8]) throws(ServiceError) -> JSONTree {
        var reader = try JSONReader(bytes)
        return try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            var probe = reader
            try probe.any()  // bounds the depth
            return try value(&reader)
        }
    }

    private static func value(_ reader: inout JSONReader) throws(ServiceError) -> JSONTree {
        var probe = reader
        let text = try probe.any()
        switch text.first {
        case UInt8(ascii: "{"):
            var fields: [[UInt8]: JSONTree] = [:]
            try reader.object { (reader: inout JSONReader, name: String) throws(ServiceError) in
                fields[Array(name.utf8)] = try value(&reader)
            }
            return .object(fields)
        case UInt8(ascii: "["):
            var values: [JSONTree] = []
            try reader.array { (reader: inout JSONReader) throws(ServiceError) in values.append(try value(&reader)) }
            return .list(values)
        case UInt8(ascii: "\""): return .text(try reader.stringBytes())
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .flag(try reader.boolean())
        case UInt8(ascii: "n"):
            _ = try reader.null()
            return .null
        default:
            try reader.any()
            return .number(number(text))
        }
    }

    /// `nan` for what a `Double` cannot be, be it too large or so close to zero that it becomes that; Foundation refuses both.
    private static func number(_ text: some Sequence<UInt8>) -> Double {
        let text = String(decoding: Array(text), as: UTF8.self)
        guard let number = Double(text), number.isFinite else { return .nan }
        let mantissa = text.prefix { $0 != "e" && $0 != "E" }
        return number == 0 && mantissa.contains { ("1"..."9").contains($0) } ? .nan : number
    }

    /// As Foundation has it; `nil` if that refuses it. It takes a text for UTF-16 or UTF-32 by its first four bytes,
    /// passes over a mark of byte order, refuses `0e1` and takes `{"a":1,}`: no such text may be given.
    static func decoded(_ bytes: some Sequence<UInt8>) -> JSONTree? {
        try? JSONDecoder().decode(JSONTree.self, from: Data(bytes))
    }

    static func mayBeDecoded(_ bytes: [UInt8]) -> Bool {
        isUTF8WithoutMark(bytes) && !bytes.prefix(4).contains(0)
            && !zip(bytes, bytes.dropFirst()).contains { $0 == 0x30 && $1 | 0x20 == 0x65 }
            && !hasCommaBeforeEnd(bytes)
    }

    private static func hasCommaBeforeEnd(_ bytes: [UInt8]) -> Bool {
        let dense = bytes.filter { $0 > 0x20 }
        return zip(dense, dense.dropFirst()).contains { $0 == UInt8(ascii: ",") && $1 | 0x20 == UInt8(ascii: "}") }
    }

    static func isUTF8WithoutMark(_ bytes: [UInt8]) -> Bool {
        !bytes.starts(with: [0xEF, 0xBB, 0xBF]) && (try? UTF8Span(validating: bytes.span)) != nil
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let text = try? container.decode(String.self) {
            self = .text(Array(text.utf8))
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let flag = try? container.decode(Bool.self) {
            self = .flag(flag)
        } else if let values = try? container.decode([JSONTree].self) {
            self = .list(values)
        } else {
            let fields = try container.decode([String: JSONTree].self)
            self = .object(Dictionary(uniqueKeysWithValues: fields.map { (Array($0.key.utf8), $0.value) }))
        }
    }

    /// Whether all its numbers are such that a `Double` can be; Foundation refuses others.
    var isFinite: Bool {
        switch self {
        case .null, .flag, .text: true
        case .number(let number): number.isFinite
        case .list(let values): values.allSatisfy(\.isFinite)
        case .object(let fields): fields.values.allSatisfy(\.isFinite)
        }
    }
}
