/// A path in the home of a VM's programs, in bytes; empty: the home itself.
package struct RemotePath: Sendable, Hashable {
    package let bytes: [UInt8]

    /// Slashes at its end are left out.
    package init(_ bytes: some Collection<UInt8>) {
        var bytes = Array(bytes)
        while bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        self.bytes = bytes
    }

    /// As the API says it: escaped.
    package init?(escaped text: String) {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        self.init(bytes)
    }

    package func appending(_ name: [UInt8]) -> RemotePath {
        RemotePath(bytes.isEmpty ? name : bytes + [UInt8(ascii: "/")] + name)
    }

    package var name: [UInt8] { Array(bytes.split(separator: UInt8(ascii: "/")).last ?? []) }

    /// For URLs: all but what is unreserved, and slashes (RFC 3986).
    package var escaped: String {
        var text = ""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"), UInt8(ascii: "/"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                text += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return text
    }

    package var shown: String { ":" + TerminalText.visible(String(decoding: bytes, as: UTF8.self)) }
}
