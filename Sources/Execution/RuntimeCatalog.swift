import Fleet
import Foundation

/// The languages there are, read once from the `runtimes/` folders: what a request may name, before any VM is asked.
package struct RuntimeCatalog: Sendable {
    struct Runtime: Sendable, Decodable {
        struct Limits: Sendable, Decodable {
            var timeoutMs: Int?
            var memoryMb: Int?
            var processes: Int?
        }
        var name: String
        var title: String
        var aliases: [String]
        var extensions: [String]
        var limits: Limits?
        struct Hello: Sendable, Decodable { var code: String }
        var hello: Hello?
    }

    let runtimes: [Runtime]
    private let byName: [String: Runtime]

    /// Reads every `<directory>/*/runtime.json`. Throws ``CatalogError`` naming the file that is wrong.
    package init(directory: String) throws {
        let folders: [String]
        do {
            folders = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        } catch {
            throw CatalogError(path: directory, reason: "cannot be listed: \(error.localizedDescription)")
        }
        var runtimes: [Runtime] = []
        var byName: [String: Runtime] = [:]
        for folder in folders {
            let path = "\(directory)/\(folder)/runtime.json"
            guard let data = FileManager.default.contents(atPath: path) else { continue }
            let runtime: Runtime
            do {
                runtime = try JSONDecoder().decode(Runtime.self, from: data)
            } catch {
                throw CatalogError(path: path, reason: String(describing: error))
            }
            for name in [runtime.name] + runtime.aliases {
                if let other = byName[name] {
                    throw CatalogError(path: path, reason: "'\(name)' is already a name of \(other.name)")
                }
                byName[name] = runtime
            }
            runtimes.append(runtime)
        }
        guard !runtimes.isEmpty else { throw CatalogError(path: directory, reason: "holds no runtime") }
        self.runtimes = runtimes
        self.byName = byName
    }

    /// The runtime of that name or alias, whatever its case. Throws `unknown_language`, listing what there is.
    func runtime(named language: String) throws(ServiceError) -> Runtime {
        if let runtime = byName[language] ?? byName[language.lowercased()] { return runtime }
        throw ServiceError(
            .unknownLanguage, "There is no language '\(language.prefix(64))'.",
            hint: "Use one of: \(runtimes.map(\.name).joined(separator: ", ")).")
    }
}

/// A `runtimes/` folder that cannot be used, and why.
package struct CatalogError: Error, CustomStringConvertible {
    package let path: String
    package let reason: String
    package var description: String { "\(path) \(reason)" }
}
