import Foundation

/// CommonJS modules as one script for browsers, which know no `require`: each in a function, called when it is first asked
/// for. Names are looked up within the directory alone.
enum ModuleBundle {
    /// `nil` if the main module is not there. It exports one thing of the name `global`, which becomes the page's.
    static func script(of directory: String, main: String, global: String) throws -> String? {
        let names = try modules(in: directory)
        guard names.contains(main) else { return nil }
        var script = """
            (() => {
            'use strict'
            const modules = Object.create(null), loaded = Object.create(null)
            const resolve = (from, name) => {
              const parts = from.split('/').slice(0, -1)
              for (const part of name.split('/')) {
                if (part === '..') parts.pop()
                else if (part !== '.') parts.push(part)
              }
              return parts.join('/').replace(/\\.js$/, '')
            }
            const load = (name) => {
              if (loaded[name]) return loaded[name].exports
              const module = loaded[name] = { exports: {} }
              modules[name]((other) => load(resolve(name, other)), module, module.exports)
              return module.exports
            }

            """
        for name in names {
            let text = try String(contentsOfFile: "\(directory)/\(name).js", encoding: .utf8)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
                .filter { !$0.hasPrefix("//# sourceMappingURL") }
            script += "modules['\(name)'] = function (require, module, exports) {\n"
            script += lines.joined(separator: "\n") + "\n}\n"
        }
        return script + "window.\(global) = load('\(main)').\(global)\n})()\n"
    }

    /// Without `.js`; no tests, and no names that would have to be quoted.
    private static func modules(in directory: String) throws -> [String] {
        guard FileManager.default.fileExists(atPath: directory) else { return [] }
        return try FileManager.default.subpathsOfDirectory(atPath: directory).filter { name in
            name.hasSuffix(".js") && !name.hasSuffix(".test.js") && !name.hasPrefix("addons")
                && name.utf8.allSatisfy {
                    $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "'") && $0 != UInt8(ascii: "\\")
                }
        }.map { String($0.dropLast(3)) }.sorted()
    }
}
