import Cryptography
import Foundation
import Mustache
import NIOCore

/// What pages are made of: templates, and the files that browsers fetch. Read once, at the start, and held in memory:
/// some hundred kilobytes.
///
/// The files of this repository lie beside the program, as the runtimes do. Browser libraries are those of Debian's
/// packages, a list of files in ``BrowserLibrary``; of those that are not installed pages say so, and do without.
package struct PageFiles: Sendable {
    struct Asset {
        let contentType: String
        let body: ByteBuffer
    }

    let templates: MustacheLibrary
    let assets: [String: Asset]
    /// Of all assets together: in their paths, so that what a path names never changes.
    let version: String
    let libraries: Set<BrowserLibrary>
    private let imports: [String: [String]]

    /// - Parameters:
    ///   - directory: holds `*.mustache` and assets.
    ///   - libraries: where Debian's packages put theirs.
    package init(directory: String, libraries: String = "/usr/share/javascript") throws {
        MustacheContentTypes.register(PageText(), named: PageText.name)
        var templates = MustacheLibrary()
        var assets: [String: Asset] = [:]
        var digest: [UInt8] = []
        var imports: [String: [String]] = [:]
        func add(_ name: String, at path: String) throws {
            let bytes = try Data(contentsOf: URL(filePath: path))
            let type = String(name[(name.lastIndex(of: ".") ?? name.startIndex)...].dropFirst())
            guard let contentType = Self.contentTypes[type] else { return }
            assets[name] = Asset(contentType: contentType, body: ByteBuffer(bytes: bytes))
            digest += SHA256.hash(name.utf8) + SHA256.hash(bytes)
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        for name in names {
            let path = "\(directory)/\(name)"
            if name.hasSuffix(".mustache") {
                let text = try String(contentsOfFile: path, encoding: .utf8)
                try templates.register(PageText.pragma + text, named: String(name.dropLast(9)))
            } else {
                try add(name, at: path)
                if name.hasSuffix(".js") {
                    imports[name] = Self.imports(in: try String(contentsOfFile: path, encoding: .utf8))
                }
            }
        }
        var found: Set<BrowserLibrary> = []
        for library in BrowserLibrary.allCases {
            let files = library.files(in: libraries)
            guard files.allSatisfy({ FileManager.default.isReadableFile(atPath: $0.path) }) else { continue }
            for file in files { try add(file.name, at: file.path) }
            if let directory = library.modules(beside: libraries) {
                guard let script = try ModuleBundle.script(of: directory, main: "public/Terminal", global: "Terminal")
                else { continue }
                let bytes = Array(script.utf8)
                assets["xterm.js"] = Asset(
                    contentType: "text/javascript; charset=utf-8", body: ByteBuffer(bytes: bytes))
                digest += SHA256.hash(bytes)
            }
            found.insert(library)
        }
        self.templates = templates
        self.assets = assets
        self.imports = imports
        self.libraries = found
        version = String(hexadecimal(SHA256.hash(digest)).prefix(16))
    }

    /// The libraries that are not installed.
    package var missing: [BrowserLibrary] { BrowserLibrary.allCases.filter { !libraries.contains($0) } }

    /// The modules that these import, and those that these do: a page names them all, so that a browser asks for them at
    /// once and not one after another.
    func imports(of scripts: [String]) -> [String] {
        var found: [String] = []
        var next = scripts[...]
        while let script = next.popFirst() {
            for name in imports[script] ?? [] where !found.contains(name) && !scripts.contains(name) {
                found.append(name)
                next.append(name)
            }
        }
        return found
    }

    /// `import { a } from './b.js'`
    private static func imports(in text: String) -> [String] {
        text.matches(of: /from '\.\/([a-z0-9-]+\.js)'/).map { String($0.output.1) }
    }

    private static let contentTypes = [
        "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
        "png": "image/png",
    ]
}

/// A browser library of a Debian package, and those of its files that pages use.
package enum BrowserLibrary: String, CaseIterable, Sendable {
    case codeMirror = "libjs-codemirror"
    case xterm = "libjs-xterm"
    case xtermModules = "node-xterm"

    /// Where they lie, and what they are called as assets.
    func files(in directory: String) -> [(name: String, path: String)] {
        switch self {
        case .codeMirror:
            let directory = "\(directory)/codemirror"
            return [
                ("codemirror-runmode.js", "\(directory)/addon/runmode/runmode-standalone.js"),
                ("codemirror-simple.js", "\(directory)/addon/mode/simple.js"),
            ]
                + Self.modes.map { ("codemirror-mode-\($0).js", "\(directory)/mode/\($0)/\($0).js") }
        case .xterm: return [("xterm.css", "\(directory)/xterm/xterm.css")]
        case .xtermModules: return []
        }
    }

    /// A directory of modules that are to be one script: Debian has the terminal's for Node.js only.
    func modules(beside directory: String) -> String? {
        switch self {
        case .codeMirror, .xterm: nil
        case .xtermModules: "\(directory)/../nodejs/xterm/lib"
        }
    }

    /// CodeMirror's modes of the languages that there are.
    private static let modes = [
        "clike", "clojure", "cobol", "coffeescript", "commonlisp", "crystal", "d", "erlang", "forth", "fortran",
        "go", "groovy", "haskell", "javascript", "lua", "mllike", "octave", "pascal", "perl", "python", "r", "ruby",
        "rust", "scheme", "shell", "sql", "swift", "tcl", "vb", "vhdl", "z80",
    ]
}

/// How values are escaped in templates. Mustache's own way looks at characters as people see them, and so overlooks a
/// quotation mark with a combining accent, which ends an attribute all the same.
struct PageText: MustacheContentType {
    static let name = "PAGE"
    static let pragma = "{{% CONTENT_TYPE:PAGE}}"

    func escapeText(_ text: String) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count + 64)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "<"): bytes += "&lt;".utf8
            case UInt8(ascii: ">"): bytes += "&gt;".utf8
            case UInt8(ascii: "&"): bytes += "&amp;".utf8
            case UInt8(ascii: "\""): bytes += "&quot;".utf8
            case UInt8(ascii: "'"): bytes += "&#39;".utf8
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
