import Execution

/// What a file's name says of its content.
struct ContentType: Sendable {
    let text: String
    /// Whether a browser may show it: what no browser runs.
    let isHarmless: Bool

    init(of name: [UInt8]) {
        let parts = String(decoding: name, as: UTF8.self).split(separator: ".", omittingEmptySubsequences: false)
        let suffix = parts.count > 1 ? parts[parts.count - 1].lowercased() : ""
        switch suffix {
        case "png", "gif", "webp", "bmp", "avif": (text, isHarmless) = ("image/\(suffix)", true)
        case "jpg", "jpeg": (text, isHarmless) = ("image/jpeg", true)
        case "txt", "md", "log", "csv", "tsv", "ini", "conf", "cfg", "toml", "yaml", "yml", "diff", "patch",
            "c", "h", "cc", "cpp", "hpp", "cs", "css", "d", "go", "hs", "java", "jl", "js", "kt", "lua", "mjs", "ml",
            "nim", "pas", "php", "pl", "py", "r", "rb", "rs", "scala", "sh", "sql", "swift", "tcl", "ts", "vala", "zig":
            (text, isHarmless) = ("text/plain; charset=utf-8", true)
        case "json": (text, isHarmless) = ("application/json", false)
        case "html", "htm": (text, isHarmless) = ("text/html; charset=utf-8", false)
        case "svg": (text, isHarmless) = ("image/svg+xml", false)
        case "xml": (text, isHarmless) = ("application/xml", false)
        case "pdf": (text, isHarmless) = ("application/pdf", false)
        case "zip": (text, isHarmless) = ("application/zip", false)
        case "gz", "tgz": (text, isHarmless) = ("application/gzip", false)
        case "tar": (text, isHarmless) = ("application/x-tar", false)
        case "wasm": (text, isHarmless) = ("application/wasm", false)
        case "mp4": (text, isHarmless) = ("video/mp4", false)
        case "mp3": (text, isHarmless) = ("audio/mpeg", false)
        default: (text, isHarmless) = ("application/octet-stream", false)
        }
    }

    /// `attachment` with the file's name, for programs that know RFC 6266 and for those that do not.
    static func attachment(_ name: [UInt8]) -> String {
        let plain = name.map { byte -> Character in
            let isPlain = byte >= 0x20 && byte < 0x7f && !"\"\\%/;".utf8.contains(byte)
            return isPlain ? Character(Unicode.Scalar(byte)) : "_"
        }
        return "attachment; filename=\"\(String(plain))\"; filename*=UTF-8''\(HomePath.encoded(name))"
    }
}
