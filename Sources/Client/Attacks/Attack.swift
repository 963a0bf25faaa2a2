import Foundation

/// One attack on the walls around runs: a program, what it is sent with, and the end it has to come to.
///
/// A file of `sandbox/attacks/CLASS/NAME.EXT` is one. Its first lines, those that begin with `#:` or `//:`, are a JSON
/// object without that mark ("Attacks" in sandbox/README.md); the file as a whole is the code that is sent.
package struct Attack: Sendable {
    /// How a run is to be made: by a process that was made for it, or by one that waited.
    package enum Mode: String, Codable, Sendable, CaseIterable { case cold, warm }

    package let name: String
    package let group: String
    package let about: String
    package let modes: [Mode]
    private let header: Header
    private let request: [String: JSONValue]

    /// One run of it.
    struct Step: Sendable {
        var request: [String: JSONValue]
        var expectation: AttackExpectation
    }

    private struct Header: Decodable {
        struct Step: Decodable {
            var request: [String: JSONValue]?
            var expect: AttackExpectation?
        }
        struct Exception: Decodable {
            var because: String
            var watched: Bool?  // only where runs have no namespaces and groups of their own
            var expect: AttackExpectation?
            var steps: [Step]?
        }
        enum Sweep: String, Decodable { case exitCodes, signals }

        var about: String
        var modes: [Mode]?
        var with: [String]?
        var request: [String: JSONValue]?
        var expect: AttackExpectation?
        var steps: [Step]?
        var sweep: Sweep?
        var providers: [String: Exception]?
        var input: AttackInput?
        var leaveAfter: Int?
    }

    /// What is posted as standard input while it runs; nil: nothing.
    var input: AttackInput? { header.input }
    /// After how many bytes of output the client goes away; nil: it stays.
    var leaveAfter: Int? { header.leaveAfter }

    // MARK: Reading

    /// All attacks below a directory, by class and name. Throws ``ClientError`` for a file that is none.
    package static func all(in directory: String) throws -> [Attack] {
        let manager = FileManager.default
        var attacks: [Attack] = []
        for group in (try? manager.contentsOfDirectory(atPath: directory).sorted()) ?? [] where group != library {
            for file in (try? manager.contentsOfDirectory(atPath: "\(directory)/\(group)").sorted()) ?? [] {
                attacks.append(try Attack(file: file, group: group, directory: directory))
            }
        }
        guard !attacks.isEmpty else {
            throw ClientError(
                .failed, code: "no_attacks", message: "There are no attacks in '\(directory)'.",
                hint: "They come with the program: 'make install' puts them beside the languages.")
        }
        return attacks
    }

    private static let library = "lib"
    private static let languages = ["py": "python", "sh": "bash", "c": "c"]

    private init(file: String, group: String, directory: String) throws {
        let path = "\(directory)/\(group)/\(file)"
        let url = URL(filePath: file)
        let data = try Data(contentsOf: URL(filePath: path))
        let code = String(decoding: data, as: UTF8.self)
        let marks = ["#:", "//:"]
        let lines = code.split(separator: "\n", omittingEmptySubsequences: false).prefix { line in
            marks.contains { line.hasPrefix($0) }
        }
        let text = lines.map { $0.drop { $0 == "#" || $0 == "/" }.dropFirst() }.joined(separator: "\n")
        do {
            header = try JSONDecoder().decode(Header.self, from: Data(text.utf8))
        } catch {
            throw ClientError(
                .failed, code: "attack_unreadable", message: "'\(path)' does not begin with a description: \(error)",
                hint: "See 'Attacks' in sandbox/README.md.")
        }
        name = url.deletingPathExtension().lastPathComponent
        self.group = group
        about = header.about
        modes = header.modes ?? Mode.allCases
        var request: [String: JSONValue] = [
            "language": .string(Self.languages[url.pathExtension] ?? url.pathExtension), "code": .string(code),
            "timeoutMs": .integer(10_000),
        ]
        if header.input == nil { request["stdin"] = .string("") }
        let files = try (header.with ?? []).map { name in
            let content = try String(contentsOfFile: "\(directory)/\(Self.library)/\(name)", encoding: .utf8)
            return JSONValue.object(["path": .string(name), "content": .string(content)])
        }
        if !files.isEmpty { request["files"] = .array(files) }
        self.request = request.merging(header.request ?? [:]) { $1 }
    }

    // MARK: What is sent, and what is to come of it

    /// Why its end is another at this provider; nil where it is the usual one.
    package func exception(at provider: String, watched: Bool) -> String? { found(provider, watched)?.because }

    private func found(_ provider: String, _ watched: Bool) -> Header.Exception? {
        header.providers?[provider].flatMap { $0.watched == true && !watched ? nil : $0 }
    }

    func steps(at provider: String, watched: Bool, _ mode: Mode) -> [Step] {
        let exception = found(provider, watched)
        let usual = exception?.expect ?? header.expect ?? AttackExpectation()
        func step(_ more: [String: JSONValue], _ expectation: AttackExpectation) -> Step {
            var request = self.request.merging(more) { $1 }.filter { $1 != .null }.mapValues(\.expanded)
            if mode == .cold {
                // Read at the start of an interpreter: one that waits is not taken.
                let variables = request["env"]?.fields ?? [:]
                request["env"] = .object(["LC_ALL": .string("C.UTF-8")].merging(variables) { $1 })
            }
            return Step(request: request, expectation: expectation)
        }
        switch header.sweep {
        case .exitCodes:
            return (0...255).map { code in
                step(["args": .array([.string("\(code)")])], AttackExpectation(exitCode: code))
            }
        case .signals:
            return RunExit.signals.filter { $0.key != "SIGIO" }.sorted { $0.value < $1.value }.compactMap {
                name, number in
                guard let expectation = AttackExpectation(endBy: name) else { return nil }
                return step(
                    ["args": .array([.string("\(number)")]), "timeoutMs": .integer(400)], expectation)
            }
        case nil: break
        }
        guard let steps = exception?.steps ?? header.steps else { return [step([:], usual)] }
        return steps.map { step($0.request ?? [:], $0.expect ?? usual) }
    }
}

/// Bytes that are posted to a run that reads them: 1 MiB of them at a time.
struct AttackInput: Decodable, Sendable {
    var megabytes: Int
    var ends: Bool
}

extension JSONValue {
    /// With every `{"repeat": TEXT, "times": N}` in it written out.
    fileprivate var expanded: JSONValue {
        switch self {
        case .array(let values): return .array(values.map(\.expanded))
        case .object(let fields):
            if fields.count == 2, case .integer(let times) = fields["times"] {
                switch fields["repeat"] {
                case .string(let text): return .string(String(repeating: text, count: times))
                case .array(let values):
                    return .array(Array(repeating: values.map(\.expanded), count: times).flatMap { $0 })
                default: break
                }
            }
            return .object(fields.mapValues(\.expanded))
        case .null, .bool, .integer, .number, .string: return self
        }
    }
}
