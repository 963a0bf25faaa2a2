/// A tar archive in memory: the ustar format (POSIX.1-2017, pax, "ustar Interchange Format").
struct TarArchive: Sendable {
    struct Unfit: Error, CustomStringConvertible {
        let path: String
        var description: String { "'\(path)' does not fit into a tar archive" }
    }

    private var bytes: [UInt8] = []

    /// - Parameter path: without a slash at its beginning; at most 100 bytes, or 255 with a slash in the right place.
    /// - Parameter owner: user and group, by number.
    mutating func addFile(_ path: String, _ content: some Collection<UInt8>, mode: Int, owner: Int = 0) throws {
        try addHeader(path, mode: mode, size: content.count, type: "0", owner: owner)
        bytes.append(contentsOf: content)
        pad()
    }

    mutating func addFile(_ path: String, _ text: String, mode: Int, owner: Int = 0) throws {
        try addFile(path, Array(text.utf8), mode: mode, owner: owner)
    }

    mutating func addDirectory(_ path: String, mode: Int = 0o755) throws {
        try addHeader(path + "/", mode: mode, size: 0, type: "5")
    }

    /// The archive with its end.
    func finished() -> [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }

    private mutating func addHeader(_ path: String, mode: Int, size: Int, type: Unicode.Scalar, owner: Int = 0)
        throws
    {
        guard let (prefix, name) = Self.split(path), size < 1 << 33 else { throw Unfit(path: path) }
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            for (index, byte) in text.utf8.enumerated() { header[offset + index] = byte }
        }
        func octal(_ value: Int, digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(name, at: 0)
        put(octal(mode, digits: 7), at: 100)
        put(octal(owner, digits: 7), at: 108)  // user
        put(octal(owner, digits: 7), at: 116)  // group
        put(octal(size, digits: 11), at: 124)
        put(octal(0, digits: 11), at: 136)  // time of change: none, so that equal contents are equal archives
        put("        ", at: 148)
        put(String(type), at: 156)
        put("ustar\u{0}00", at: 257)
        if owner == 0 {
            put("root", at: 265)
            put("root", at: 297)
        }
        put(prefix, at: 345)
        let sum = header.reduce(0) { $0 + Int($1) }
        put(octal(sum, digits: 6) + "\u{0} ", at: 148)
        bytes += header
    }

    private mutating func pad() {
        let over = bytes.count % 512
        if over > 0 { bytes += [UInt8](repeating: 0, count: 512 - over) }
    }

    /// A path of over 100 bytes is cut at a slash into a prefix of at most 155 and a name of at most 100.
    private static func split(_ path: String) -> (prefix: String, name: String)? {
        let bytes = Array(path.utf8)
        guard !bytes.contains(0), !bytes.isEmpty else { return nil }
        if bytes.count <= 100 { return ("", path) }
        for index in bytes.indices where bytes[index] == UInt8(ascii: "/") {
            guard index <= 155 else { return nil }
            if (1...100).contains(bytes.count - index - 1) {
                return (
                    String(decoding: bytes[..<index], as: UTF8.self),
                    String(decoding: bytes[(index + 1)...], as: UTF8.self)
                )
            }
        }
        return nil
    }
}
