import Foundation
import SSH
import TestSupport
import Testing

extension Live {
    @Suite struct CommandTests {
        @Test func outputErrorAndStatusAreKept() async throws {
            try await withSession { session in
                let result = try await session.exec("echo out; echo err >&2; exit 3")
                #expect(result.status == 3)
                #expect(result.signal == nil)
                #expect(String(decoding: result.output, as: UTF8.self) == "out\n")
                #expect(String(decoding: result.error, as: UTF8.self) == "err\n")
            }
        }

        @Test func aCommandEndedByASignalHasNoStatus() async throws {
            try await withSession { session in
                let result = try await session.exec("kill -KILL $$")
                #expect(result.status == nil)
                #expect(result.signal == "SIGKILL")
            }
        }

        @Test func inputIsGivenWholeAndEnds() async throws {
            let input = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 / 251) }
            try await withSession { session in
                let result = try await session.exec("cat", input: input)
                #expect(result.status == 0)
                #expect(result.output == input)
            }
        }

        @Test func aCommandThatLeavesItsInputUnreadEnds() async throws {
            try await withSession { session in
                let result = try await session.exec("exit 0", input: [UInt8](repeating: 1, count: 5 << 20))
                #expect(result.status == 0)
            }
        }

        @Test func outputOverTheLimitIsDropped() async throws {
            try await withSession { session in
                let result = try await session.exec("head -c 1000000 /dev/zero; echo -n end >&2", outputLimit: 1000)
                #expect(result.output.count == 1000)
                #expect(result.error.count == 3)
            }
        }

        @Test func pastItsDeadlineACommandIsATimeoutAndFindsItsInputClosed() async throws {
            try await withSession { session in
                let command = "sleep 0.5; echo; echo || sleep 60"
                let code = try await failure { try await session.exec(command, deadline: .milliseconds(100)) }
                #expect(code == .timeout)
                try await eventually(describing: "the command's end") { await session.channelCount == 0 }
                #expect(try await session.exec("echo alive").status == 0)
            }
        }

        @Test func anUploadedFileIsWholeAndHasItsMode() async throws {
            let bytes = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 / 253) }
            try await withTemporaryDirectory { directory in
                let path = "\(directory)/program"
                try await withSession { session in
                    try await session.upload([1, 2, 3], to: path, mode: 0o600)
                    try await session.upload(bytes, to: path, mode: 0o755)
                }
                #expect(FileManager.default.contents(atPath: path) == Data(bytes))
                let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
                #expect(mode == 0o755)
                #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["program"])
            }
        }

        @Test func anUploadThatCannotBeSaysWhy() async throws {
            try await withSession { session in
                let error = await #expect(throws: SSHError.self) {
                    try await session.upload([1], to: "/no/such/directory/file", mode: 0o644)
                }
                #expect(error?.code == .uploadFailed)
                #expect(error?.message.contains("No such file") == true)
                let isDirectory = try await failure { try await session.upload([1], to: "/tmp", mode: 0o644) }
                #expect(isDirectory == .uploadFailed)
                #expect(try await session.exec("ls -d /tmp.*.part").status != 0)
            }
        }

        @Test func withoutSFTPAnUploadIsRefused() async throws {
            try await SSHServer.with(settings: ["Subsystem sftp /bin/false"]) { server in
                try await withSession(to: server.endpoint) { session in
                    let code = try await failure { try await session.upload([1], to: "/tmp/x", mode: 0o644) }
                    #expect(code == .channelClosed)
                }
            }
        }
    }
}
