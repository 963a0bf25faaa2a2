import Foundation
import Testing

@testable import Execution

@Suite struct RunnerFilesTests {
    private struct Package: Decodable {
        struct File: Decodable {
            let path: String
            let mode: Int
            let content: Data
        }
        let files: [File]
    }

    @Test func everyFileOfALanguageIsPacked() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID())")
        defer { try? FileManager.default.removeItem(at: directory) }
        let texts = [
            "martlet-runner": "program", "runtimes/README.md": "not a language",
            "runtimes/ruby/runtime.json": "{}", "runtimes/ruby/live.rb": "$stdout.sync = true\n",
        ]
        for (path, text) in texts {
            let file = directory.appending(path: path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        let files = RunnerFiles(
            program: directory.appending(path: "martlet-runner").path,
            runtimes: directory.appending(path: "runtimes").path)
        let package = try JSONDecoder().decode(Package.self, from: Data(files.packed()))
        #expect(
            package.files.map(\.path) == ["martlet-runner", "runtimes/ruby/live.rb", "runtimes/ruby/runtime.json"])
        #expect(package.files.map(\.mode) == [0o755, 0o644, 0o644])
        #expect(package.files.allSatisfy { String(decoding: $0.content, as: UTF8.self) == texts[$0.path] })
    }
}
