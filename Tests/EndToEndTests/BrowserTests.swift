import EventLoop
import Foundation
import TestSupport
import Testing

/// The pages as people use them: Playwright drives Debian's Chromium against a live server. What each scenario does and
/// measures is in `Browser/scenarios.py` and the files beside it; what holds of every page of `Browser/pages.py` is in
/// `Browser/everywhere.py`.
@Suite(.serialized, SharedMartlet(), .timeLimit(.minutes(30))) struct BrowserTests {
    @Test(
        arguments: [
            "signing_in", "streaming", "streaming_on_a_phone", "cancelling", "typing", "waking", "my_vm",
            "ssh_keys", "administering", "hostile_output", "long_output", "colouring", "keyboard",
            "files.transferring", "files.resuming", "files.arranging", "files.editing", "files.hostile_names",
            "files.by_keyboard", "files.sights",
            "terminals.terminal_use", "terminals.terminal_again", "terminals.terminal_output",
            "terminals.terminal_hostile", "terminals.terminal_sights",
        ])
    func peopleUseThePages(_ scenario: String) async throws { try await Browser.run(scenario, try shared()) }

    @Test(arguments: ["names", "slow_line", "tabbing", "accessible_in_light", "accessible_in_dark"])
    func everyPageIsFitForUse(_ scenario: String) async throws {
        try await Browser.run("everywhere.\(scenario)", try shared())
    }
}

enum Browser {
    private static let directory = (#filePath as NSString).deletingLastPathComponent
    private static let root = directory + "/../.."

    /// Runs one of the scenarios, which ends with 1 and says why where something is not as it should be.
    static func run(_ scenario: String, _ martlet: LiveMartlet) async throws {
        let program = try await program()
        let link = try await martlet.signInLink()
        var command = ChildProcess.Command(
            program,
            ["\(directory)/Browser/browser.py", try martlet.url, try martlet.token, link, scenario, martlet.directory])
        command.environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": martlet.directory,
            "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        ]
        let output = try await ChildProcess.run(command, deadline: .seconds(600), limit: 16 << 20)
        #expect(output.ending == .exited(0), "\(scenario): \(output.text)\n\(output.errorText)")
        for line in output.text.split(separator: "\n") { print("\(scenario): \(line)") }
    }

    /// Python with Playwright; made first where it is not. Cancels the test where that or Chromium cannot be had, and
    /// fails it in CI.
    private static func program() async throws -> String {
        var reason = "no /usr/bin/chromium: install the package chromium"
        if FileManager.default.isExecutableFile(atPath: "/usr/bin/chromium") {
            let output = try await ChildProcess.run(
                ChildProcess.Command("\(root)/.ci/playwright"), deadline: .seconds(300))
            if output.ending.isSuccess { return "\(root)/.build/playwright/environment/bin/python" }
            reason = "\(output.ending): \(output.errorText.suffix(500))"
        }
        let missing = NeverHappened(awaited: ".ci/playwright", limit: .seconds(300), lastSeen: reason)
        if ProcessInfo.processInfo.environment["CI"] == "true" { throw missing }
        try Test.cancel("\(missing)")
    }
}

extension LiveMartlet {
    /// The path of the link that it printed when it started.
    func signInLink() async throws -> String {
        let text = try String(contentsOfFile: "\(directory)/up-1.jsonl", encoding: .utf8)
        let page = try #require(text.firstMatch(of: /"signIn":"[^"]*?(\/login\?code=[^"]+)"/)?.output.1)
        return String(page)
    }
}
