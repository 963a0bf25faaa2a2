import Foundation

/// What a machine is made ready with, beyond being a machine. Secret as a whole: sealed at rest, shown to nobody; its
/// description leaves the values out.
package struct EnvironmentSetup: Sendable, Hashable, Codable, CustomStringConvertible {
    /// Given to everything that runs in it.
    package var variables: [String: String]
    /// For bash; run once as the machine's user, after the first start.
    package var initScript: String?
    /// Cloned into the home before the script runs.
    package var repository: Repository?

    package init(variables: [String: String] = [:], initScript: String? = nil, repository: Repository? = nil) {
        self.variables = variables
        self.initScript = initScript
        self.repository = repository
    }

    package var description: String {
        "setup of \(variables.count) variables, \(initScript == nil ? "no" : "a") script, "
            + (repository.map { "\($0)" } ?? "no repository")
    }

    enum Bounds {
        static let variables = 128
        static let variableBytes = 64 << 10  // names and values together
        static let scriptBytes = 64 << 10
    }

    /// Throws `invalid_request`, naming the field and never a value.
    func check() throws(ServiceError) {
        guard variables.count <= Bounds.variables else {
            throw .invalid("variables", "holds \(variables.count) entries", "At most \(Bounds.variables).")
        }
        var total = 0
        for (name, value) in variables {
            guard Self.isVariableName(name) else {
                throw .invalid(
                    "variables", "holds the name '\(name.prefix(64))'",
                    "A name is letters, digits and '_', and does not begin with a digit.")
            }
            guard !value.utf8.contains(0) else {
                throw .invalid("variables.\(name)", "holds a NUL byte", "No process can be given one; use a file.")
            }
            total += name.utf8.count + value.utf8.count
        }
        guard total <= Bounds.variableBytes else {
            throw .invalid("variables", "takes \(total) bytes", "At most \(Bounds.variableBytes); use a file.")
        }
        if let initScript {
            guard initScript.utf8.count <= Bounds.scriptBytes, !initScript.utf8.contains(0) else {
                throw .invalid(
                    "initScript", "holds a NUL byte or over \(Bounds.scriptBytes) bytes",
                    "Have it fetch what is longer.")
            }
        }
        try repository?.check()
    }

    /// As POSIX has it ("Environment Variables", names).
    static func isVariableName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 255 else { return false }
        func isLetter(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "_")
        }
        return isLetter(first)
            && name.utf8.allSatisfy { isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
}

/// Where an environment's code comes from. The URL may hold a token, so only ``displayURL`` is for people.
package struct Repository: Sendable, Hashable, Codable, CustomStringConvertible {
    /// `https://…`, `ssh://…`, `git@host:path` or `file:///…`, the last as the machine sees it.
    package var url: String
    package var branch: String?

    package init(url: String, branch: String? = nil) {
        self.url = url
        self.branch = branch
    }

    package var description: String { displayURL }

    /// The URL without user, password, query and fragment.
    package var displayURL: String {
        guard let scheme else { return Self.withoutTail(url) }
        let rest = url.dropFirst(scheme.count + 3)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let host = rest[..<slash].split(separator: "@", omittingEmptySubsequences: false).last ?? ""
        return Self.withoutTail("\(scheme)://\(host)\(rest[slash...])")
    }

    /// The directory it is cloned into, below the home: the last part of its path, without `.git`.
    package var directory: String {
        let name = path.split(separator: "/").last ?? ""
        return String(name.hasSuffix(".git") ? name.dropLast(4) : name)
    }

    /// What follows the host.
    private var path: Substring {
        let whole = Self.withoutTail(url)[...]
        guard let scheme else { return whole.drop { $0 != ":" }.dropFirst() }
        return whole.dropFirst(scheme.count + 3).drop { $0 != "/" }
    }

    private var scheme: String? { ["https", "ssh", "file"].first { url.hasPrefix("\($0)://") } }

    private static func withoutTail(_ url: String) -> String {
        String(url.prefix { $0 != "?" && $0 != "#" })
    }

    func check() throws(ServiceError) {
        func refused(_ what: String) -> ServiceError {
            .invalid(
                "repository.url", what, "Give https://host/path, ssh://user@host/path, git@host:path or file:///path.")
        }
        let isPlain = url.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }
        guard isPlain, url.utf8.count <= 2_048 else { throw refused("holds spaces or too much") }
        if let scheme {
            let rest = displayURL.dropFirst(scheme.count + 3)
            guard scheme == "file" ? rest.hasPrefix("/") : rest.first.map({ $0 != "/" && $0 != "-" }) ?? false else {
                throw refused("names no host")
            }
        } else {
            guard url.hasPrefix("git@"), let colon = url.firstIndex(of: ":"), url[colon...].count > 1,
                url.dropFirst(4).first.map({ $0 != "-" && $0 != ":" }) ?? false
            else { throw refused("has no form that is known") }
        }
        let isName = directory.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isName, !directory.isEmpty, directory.utf8.count <= 100, !directory.hasPrefix("."),
            !directory.hasPrefix("-")
        else { throw refused("ends in no name for a directory") }
        if let branch, !Self.isBranch(branch) {
            throw .invalid("repository.branch", "is not a branch's name", "Leave it out for the default branch.")
        }
    }

    /// The rules of git-check-ref-format(1) that matter when it is one argument of a program.
    private static func isBranch(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && !name.hasPrefix("-") && !name.contains("..")
            && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && !"~^:?*[\\".utf8.contains($0) }
    }
}
