import Foundation
import SSH
import TestSupport
import Testing

extension Live {
    /// SFTP against a real OpenSSH, whose files the test also sees as files.
    @Suite struct SFTPTests {
        @Test func whatIsWrittenIsReadBackFromAnyPlace() async throws {
            try await withClient { client, directory in
                let bytes = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 / 7) }
                let path = Array("\(directory)/file".utf8)
                try await client.withFile(path, .create(mode: 0o640)) { file in
                    // Pieces that fit no chunk.
                    for start in stride(from: 0, to: bytes.count, by: 50_021) {
                        try await file.write(Array(bytes[start..<min(start + 50_021, bytes.count)]))
                    }
                    try await file.flush()
                    try await file.synchronize()
                    #expect(try await file.attributes().size == UInt64(bytes.count))
                }
                #expect(try Data(contentsOf: URL(filePath: "\(directory)/file")) == Data(bytes))
                try await client.withFile(path, .read) { file in
                    for range in [0..<bytes.count, 70_000..<70_001, 999_999..<1_000_003, 5..<5] {
                        await file.seek(reading: UInt64(range.lowerBound), to: UInt64(range.upperBound))
                        var read: [UInt8] = []
                        while let piece = try await file.read() { read += piece }
                        #expect(read == Array(bytes[range]), "\(range)")
                    }
                    await file.seek(reading: 0, to: 2_000_000)  // beyond its end
                    var count = 0
                    while let piece = try await file.read() { count += piece.count }
                    #expect(count == bytes.count)
                }
            }
        }

        @Test func namesOfAnyBytesAreListedAndLinksAreTold() async throws {
            try await withClient { client, directory in
                let names: [[UInt8]] = [
                    Array("plain".utf8), [0xff, 0xfe], Array("new\nline".utf8), Array("-rf *".utf8), Array("é".utf8),
                ]
                for name in names {
                    try await client.withFile(Array("\(directory)/".utf8) + name, .create(mode: 0o600)) { _ in }
                }
                #expect(symlink("plain", "\(directory)/link") == 0)
                var found: [[UInt8]: SFTPAttributes.Kind] = [:]
                try await client.entries(of: Array(directory.utf8)) { entries in
                    for entry in entries { found[entry.name] = entry.attributes.kind }
                    return true
                }
                #expect(Set(found.keys) == Set(names + [Array("link".utf8)]))
                #expect(found[Array("link".utf8)] == .link && found[[0xff, 0xfe]] == .file)
                #expect(try await client.readLink(Array("\(directory)/link".utf8)) == Array("plain".utf8))
                #expect(try await client.realPath(Array("\(directory)/link".utf8)) == Array("\(directory)/plain".utf8))
            }
        }

        @Test func renamingReplacesOnlyWhereItMay() async throws {
            try await withClient { client, directory in
                for name in ["a", "b"] { try Data(name.utf8).write(to: URL(filePath: "\(directory)/\(name)")) }
                let (a, b) = (Array("\(directory)/a".utf8), Array("\(directory)/b".utf8))
                await #expect(throws: SFTPError.self) { try await client.rename(a, to: b, replacing: false) }
                #expect(try String(contentsOfFile: "\(directory)/b", encoding: .utf8) == "b")
                try await client.rename(a, to: b, replacing: true)
                #expect(try String(contentsOfFile: "\(directory)/b", encoding: .utf8) == "a")
                let error = await #expect(throws: SFTPError.self) { try await client.attributes(a) }
                #expect(error?.code == .notFound)
            }
        }

        @Test func manyCallsAreUnderWayAtOnceAndEachHasItsAnswer() async throws {
            try await withClient { client, directory in
                for number in 0..<100 {
                    try Data(count: number).write(to: URL(filePath: "\(directory)/\(number)"))
                }
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            try await client.attributes(Array("\(directory)/\(number)".utf8)).size == UInt64(number)
                        }
                    }
                    for try await isRight in group { #expect(isRight) }
                }
                try await client.remove((0..<100).map { Array("\(directory)/\($0)".utf8) })
                #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
            }
        }

        @Test func aCancelledCallLeavesTheClientUsable() async throws {
            try await withClient { client, directory in
                #expect(mkfifo("\(directory)/pipe", 0o600) == 0)
                let path = Array("\(directory)/file".utf8)
                try await client.withFile(path, .create(mode: 0o600)) { file in
                    let writing = Task {
                        for _ in 0..<10_000 { try await file.write([UInt8](repeating: 1, count: 65_536)) }
                    }
                    try await eventually(describing: "bytes") {
                        (try? FileManager.default.attributesOfItem(atPath: "\(directory)/file")[.size] as? Int) ?? 0 > 0
                    }
                    writing.cancel()
                    await #expect(throws: CancellationError.self) { try await writing.value }
                }
                #expect(try await client.attributes(path).kind == .file)
            }
        }

        @Test func aServerThatEndsFailsWhoWaits() async throws {
            try await SSHServer.with(settings: ["Subsystem sftp /bin/false"]) { server in
                try await withSession(to: server.endpoint) { session in
                    let code = try await failure { try await session.withSFTP { _ in } }
                    #expect(code == .channelClosed)
                    let alive = try await session.exec("echo alive")
                    #expect(alive.status == 0)
                }
            }
        }

        private func withClient(_ body: @Sendable @escaping (SFTPClient, String) async throws -> Void) async throws {
            try await withTemporaryDirectory { directory in
                try await withSession { session in
                    try await session.withSFTP { client in
                        let real = try await client.realPath(Array(directory.utf8))
                        try await body(client, String(decoding: real, as: UTF8.self))
                    }
                    try await eventually(describing: "the channel's end") { await session.channelCount == 0 }
                }
            }
        }
    }
}
