import EventLoop
import Fleet
import Foundation
import TestSupport
import Testing

@testable import Execution

@Suite struct OutputTailTests {
    @Test(arguments: 1...12) func aSecretIsMaskedHoweverItIsCut(size: Int) {
        var tail = OutputTail(limit: 100, masking: ["s3cret", "s3cret-long", "long-er", "xxxx", ""])
        let printed = Array("a s3cret b s3cret-long c s3cret-long-er d xxxxxxx e s3cre".utf8)
        for start in stride(from: 0, to: printed.count, by: size) {
            tail.append(Array(printed[start..<min(start + size, printed.count)]))
        }
        #expect(tail.text == "a *** b *** c *** d *** e s3cre")
    }

    @Test func onlyTheEndIsKept() {
        var tail = OutputTail(limit: 8, masking: ["longer than the limit"])
        for _ in 0..<1_000 { tail.append(Array("0123456789".utf8)) }
        #expect(tail.text == "23456789")
        tail.append(Array("longer than the limit!".utf8))
        #expect(tail.text == "6789***!")
        var cut = OutputTail(limit: 4, masking: [])
        cut.append(Array("\u{1F426}ab".utf8))
        #expect(cut.text == "ab", "half a character is none")
    }
}

@Suite struct SetupSecretTests {
    @Test func whatAUrlHoldsIsMaskedAsWrittenAndAsDecoded() {
        var setup = EnvironmentSetup(variables: ["A": "short", "B": "long enough", "C": "x\nline of a key\n"])
        setup.repository = Repository(url: "https://ann%40x:p%40ssword@host/repo?token=abcdef")
        #expect(
            EnvironmentInitializer.secrets(of: setup) == [
                "long enough", "x\nline of a key\n", "line of a key", "ann%40x:p%40ssword@", "ann%40x", "ann@x",
                "p%40ssword", "p@ssword", "token=abcdef",
            ])
        setup = EnvironmentSetup(repository: Repository(url: "ssh://git:word@host/repo"))
        #expect(EnvironmentInitializer.secrets(of: setup) == ["git:word@", "word"])
        setup.repository = Repository(url: "git@host:repo")
        #expect(EnvironmentInitializer.secrets(of: setup).isEmpty)
    }
}

extension Live {
    @Suite(LiveSSHD()) struct InitializerTests {
        /// Makes a repository with one commit on `main` and one on `side`.
        static func repository(in directory: String) async throws -> String {
            let script = """
                set -e
                git init -q -b main project.git && cd project.git
                git config user.email t@example.org && git config user.name t
                echo main >file && git add file && git commit -qm main
                git checkout -qb side && echo side >file && git commit -qam side && git checkout -q main
                chown -R \(RunnerServer.user) .
                """
            var command = ChildProcess.Command("bash", ["-c", script])
            command.workingDirectory = directory
            let ending = try await ChildProcess.start(command).wait()
            guard ending.isSuccess else {
                throw NeverHappened(awaited: "a repository", limit: .zero, lastSeen: "git \(ending)")
            }
            return "\(directory)/project.git"
        }

        @Test func theRepositoryIsClonedAndTheScriptRunAsTheMachinesUser() async throws {
            try await LiveVM.with({
                $0.variables = ["NAME": "martlet"]
                $0.initScript =
                    "echo $NAME >greeting; echo made in ${PWD##*/} by $USER; cat >&2 project/file; cat\n"
            }) { vm in
                let source = try await Self.repository(in: "\(vm.home)/..")
                try await vm.set(Repository(url: "file://\(source)", branch: "side"))
                let initializer = EnvironmentInitializer(fleet: vm.fleet, logger: quiet)
                let outcome = try await initializer.run(vm.environment)
                #expect(outcome.isSuccess && outcome.step == .script, "\(outcome)")
                #expect(outcome.output == "made in home by martlet\nside\n")
                #expect(try String(contentsOfFile: "\(vm.home)/greeting", encoding: .utf8) == "martlet\n")
                #expect(try String(contentsOfFile: "\(vm.home)/project/file", encoding: .utf8) == "side\n")
                #expect(try vm.names() == ["greeting", "project"])
                // What is there is left as it is.
                try Data("mine\n".utf8).write(to: URL(filePath: "\(vm.home)/project/file"))
                #expect(try await initializer.run(vm.environment).isSuccess)
                #expect(try String(contentsOfFile: "\(vm.home)/project/file", encoding: .utf8) == "mine\n")
            }
        }

        @Test func aFailedCloneLeavesNothingAndPrintsNoToken() async throws {
            try await LiveVM.with({
                $0.initScript = "touch never"
                // Nothing listens there, and the run has no network.
                $0.repository = Repository(url: "https://user:t0k%65n@127.0.0.1:1/owner/private.git")
            }) { vm in
                let outcome = try await EnvironmentInitializer(fleet: vm.fleet, logger: quiet).run(vm.environment)
                #expect(!outcome.isSuccess && outcome.step == .clone && outcome.reason == .exited)
                #expect(outcome.exitCode != 0 && outcome.output.contains("127.0.0.1"), "\(outcome)")
                for secret in ["t0k%65n", "t0ken"] { #expect(!outcome.output.contains(secret)) }
                #expect(try vm.names().isEmpty, "and the script was not run")
            }
        }

        @Test func aScriptsEndIsToldAsItWas() async throws {
            try await LiveVM.with({
                $0.variables = ["KEY": "v4lue-of-key"]
                $0.initScript = "for n in {1..2000}; do echo line $n; done; echo $KEY; exit 7"
            }) { vm in
                let outcome = try await EnvironmentInitializer(fleet: vm.fleet, logger: quiet).run(vm.environment)
                #expect(outcome.exitCode == 7 && outcome.reason == .exited && !outcome.isSuccess)
                #expect(outcome.output.utf8.count == 4_096 && outcome.output.hasSuffix("line 2000\n***\n"))
            }
        }

        @Test func aScriptThatDoesNotEndIsKilled() async throws {
            try await LiveVM.with({ $0.initScript = "echo waiting; sleep 600" }) { vm in
                let initializer = EnvironmentInitializer(fleet: vm.fleet, limit: .milliseconds(500), logger: quiet)
                let outcome = try await initializer.run(vm.environment)
                #expect(outcome.reason == .timeout && outcome.output == "waiting\n")
            }
        }

        @Test func nothingToDoIsDone() async throws {
            try await LiveVM.with { vm in
                let outcome = try await EnvironmentInitializer(fleet: vm.fleet, logger: quiet).run(vm.environment)
                #expect(outcome.isSuccess && outcome.step == nil)
            }
        }

        @Test func aMachineThatIsGoneIsUnreachable() async throws {
            try await LiveVM.with({ $0.initScript = "true" }) { vm in
                try await vm.setRunnerPort(1)
                let error = await #expect(throws: ServiceError.self) {
                    try await EnvironmentInitializer(fleet: vm.fleet, logger: quiet).run(vm.environment)
                }
                #expect(error?.code == .vmUnreachable)
            }
        }
    }
}
