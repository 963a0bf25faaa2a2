import EventLoop
import Foundation
import TestSupport
import Testing

/// The plugin as people use it: Debian's Vim and Neovim, without a terminal, against a live server. What each scenario
/// does and measures is in `Editor/scenarios.vim`; the plugin gets there by `martlet editor install`.
@Suite(SharedMartlet(), .timeLimit(.minutes(15))) struct EditorTests {
    @Test(arguments: Editor.allCases, Editor.scenarios)
    func peopleRunBuffers(_ editor: Editor, _ scenario: String) async throws {
        let martlet = try shared()
        let mark = marker()
        let verdict = try await editor.perform(scenario, mark: mark, martlet)
        #expect(verdict == "ok\n", "\(editor): \(scenario)")
        try await eventually(describing: "no program of '\(scenario)' is left") { processes(marked: mark).isEmpty }
    }

    @Test func installingAgainLeavesNothingOfTheCopyBefore() async throws {
        let martlet = try shared()
        try await withTemporaryDirectory { home in
            let variables = ["HOME": home, "XDG_DATA_HOME": "\(home)/data"]
            let first = try await martlet.run(["editor", "install", "--vim", "--neovim"], variables: variables)
            #expect(first.ending == .exited(0), "\(first.errorText)")
            let directories = [
                "\(home)/.vim/pack/martlet/start/martlet", "\(home)/data/nvim/site/pack/martlet/start/martlet",
            ]
            for directory in directories {
                #expect(first.text.contains(directory))
                try "".write(toFile: "\(directory)/plugin/old.vim", atomically: true, encoding: .utf8)
            }
            _ = try await martlet.run(["editor", "install", "--vim", "--neovim"], variables: variables)
            let source = try await martlet.run(["editor", "path"]).text.trimmingCharacters(in: .newlines)
            for directory in directories {
                // Made there, and compared with what the editors make by the scenario of the help.
                try FileManager.default.removeItem(atPath: "\(directory)/doc/tags")
                #expect(FileManager.default.contentsEqual(atPath: source, andPath: directory))
                let around = (directory as NSString).deletingLastPathComponent
                #expect(try FileManager.default.contentsOfDirectory(atPath: around) == ["martlet"])
            }
        }
    }

    @Test func anInstallationRefusesWhatIsNotItsOwn() async throws {
        let martlet = try shared()
        try await withTemporaryDirectory { home in
            let package = "\(home)/.vim/pack/martlet/start"
            try FileManager.default.createDirectory(atPath: package, withIntermediateDirectories: true)
            try FileManager.default.createDirectory(atPath: "\(home)/mine", withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(
                atPath: "\(package)/martlet", withDestinationPath: "\(home)/mine")
            let result = try await martlet.run(["editor", "install", "--vim"], variables: ["HOME": home])
            #expect(result.ending == .exited(123))
            #expect(result.errorText.contains("plugin_is_link"))
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(home)/mine").isEmpty)
            let none = try await martlet.run(["editor", "install"], variables: ["HOME": home, "PATH": home])
            #expect(none.ending == .exited(2))
            #expect(none.errorText.contains("--neovim"))
        }
    }
}

enum Editor: String, CaseIterable {
    case vim, nvim

    private static let file = (#filePath as NSString).deletingLastPathComponent + "/Editor/scenarios.vim"

    /// All that the file has.
    static let scenarios: [String] = {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        return text.matches(of: /function! Scenario_(\w+)/).map { String($0.output.1) }
    }()

    private var arguments: [String] {
        switch self {
        case .vim: ["-es", "-N", "-u", Self.file, "-i", "NONE", "-n"]
        case .nvim: ["--headless", "-u", Self.file, "-i", "NONE", "-n"]
        }
    }

    /// Has the editor do it, in a home of its own. Returns 'ok', or what was wrong.
    func perform(_ scenario: String, mark: String, _ martlet: LiveMartlet) async throws -> String {
        try requireInstalled()
        return try await withTemporaryDirectory { home in
            let installed = try await martlet.run(
                ["editor", "install", "--vim", "--neovim"], variables: ["HOME": home])
            #expect(installed.ending == .exited(0), "\(installed.errorText)")
            try FileManager.default.createDirectory(atPath: "\(home)/bin", withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(
                atPath: "\(home)/bin/martlet", withDestinationPath: LiveMartlet.binary)
            var command = ChildProcess.Command(rawValue, arguments)
            command.environment = martlet.command([]).environment ?? [:]
            command.environment?.merge([
                "HOME": home, "PATH": "\(home)/bin:/usr/local/bin:/usr/bin:/bin", "SCENARIO": scenario,
                "VERDICT": "\(home)/verdict", "MARKER": mark, "LANGUAGES": try Self.languages(),
            ]) { $1 }
            command.workingDirectory = home
            let output = try await ChildProcess.run(command, deadline: .seconds(180))
            let verdict = try? String(contentsOfFile: "\(home)/verdict", encoding: .utf8)
            return verdict ?? "it \(output.ending): \(output.text)\n\(output.errorText)"
        }
    }

    /// Cancels the test where the editor is missing, and fails it in CI.
    private func requireInstalled() throws {
        if FileManager.default.isExecutableFile(atPath: "/usr/bin/\(rawValue)") { return }
        let missing = NeverHappened(
            awaited: "'.ci/packages --runtimes'", limit: .zero, lastSeen: "no /usr/bin/\(rawValue)")
        if ProcessInfo.processInfo.environment["CI"] == "true" { throw missing }
        try Test.cancel("\(missing)")
    }

    /// 'name:file' of all of `runtimes/`.
    private static func languages() throws -> String {
        struct Runtime: Decodable {
            let name: String
            let file: String
        }
        let directory = (#filePath as NSString).deletingLastPathComponent + "/../../runtimes"
        return try FileManager.default.contentsOfDirectory(atPath: directory).compactMap { name in
            guard let data = FileManager.default.contents(atPath: "\(directory)/\(name)/runtime.json") else {
                return nil
            }
            let runtime = try JSONDecoder().decode(Runtime.self, from: data)
            return "\(runtime.name):\(runtime.file)"
        }.joined(separator: " ")
    }
}
