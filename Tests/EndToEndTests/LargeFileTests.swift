import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// Files far larger than a gateway may become, there and back through a gateway of its own. They are sparse where they
/// come from, and whole in the VM.
///
/// 100 MB by default. `MARTLET_LARGE_FILE_MB=5000 make test FILTER=LargeFileTests` sends 5 GB instead (minutes, and 6 GB
/// of disk).
@Suite(.serialized) struct LargeFileTests {
    static let megabytes = Int(ProcessInfo.processInfo.environment["MARTLET_LARGE_FILE_MB"] ?? "") ?? 100
    static let mostGrowth = 16 << 20

    @Test func aFileOfAnySizeGoesThereAndBackAndTheGatewayStaysSmall() async throws {
        try await withFile { martlet, file, _ in
            try await martlet.withGateway { gateway in
                let url = try gateway.url + "/v1/files/big.bin"
                _ = try await martlet.send("GET", "/v1/files/?list", url: try gateway.url)  // what the first call makes
                let before = try residentBytes(of: gateway.child.processIdentifier)
                for (way, script) in [
                    ("up", #"curl -fsS -H @"$3" -T "$1" -o /dev/null "$2""#),
                    ("down", #"curl -fsS -H @"$3" "$2" | cmp - "$1""#),
                    // Only the end of it, of a file that nobody reads from its beginning.
                    ("the end", #"curl -fsS -H @"$3" -r -1000 "$2" | cmp - <(tail -c 1000 "$1")"#),
                ] {
                    let clock = ContinuousClock()
                    let began = clock.now
                    let peak = try await peakMemory(of: gateway) {
                        try await shell(script, [file, url, martlet.headerFile])
                    }
                    let seconds = Double((clock.now - began).components.seconds) + 0.001
                    let growth = peak - before
                    #expect(growth <= Self.mostGrowth, "\(way): the gateway grew by \(growth >> 10) KiB")
                    print("\(Self.megabytes) MB \(way): \(Int(seconds)) s, gateway grew by \(growth >> 10) KiB at most")
                }
            }
        }
    }

    /// The same in parts of 16 MB, as the page sends them, one of them cut.
    @Test func inPartsItGoesOnWhereAPartWasCut() async throws {
        try await withFile { martlet, file, size in
            try await martlet.withGateway { gateway in
                let url = try gateway.url + "/v1/files/parts.bin?upload=large-file&total=\(size)"
                _ = try await martlet.send("GET", "/v1/files/?list", url: try gateway.url)
                let before = try residentBytes(of: gateway.child.processIdentifier)
                let peak = try await peakMemory(of: gateway) {
                    try await shell(
                        #"""
                        head -c 16000000 "$1" | timeout 3 curl -sS -H @"$3" --limit-rate 3M -T - -o /dev/null "$2&offset=0" && exit 9
                        at=$(curl -fsS -H @"$3" "$2" | jq .upload.offset)
                        [ "$at" -gt 0 ] && [ "$at" -lt 16000000 ] || { echo "cut at $at" >&2; exit 8; }
                        while [ "$at" -lt "$4" ]; do
                            curl -fsS -H @"$3" -T - -o "$5" "$2&offset=$at" \
                                < <(tail -c +$((at + 1)) "$1" 2>/dev/null | head -c 16000000)
                            at=$(jq '.upload.offset // .file.size' "$5")
                        done
                        curl -fsS -H @"$3" "${2%%\?*}" | cmp - "$1"
                        """#,
                        [file, url, martlet.headerFile, "\(size)", "\(martlet.directory)/answer"])
                }
                #expect(peak - before <= Self.mostGrowth, "the gateway grew by \((peak - before) >> 10) KiB")
                print("\(Self.megabytes) MB in parts: gateway grew by \((peak - before) >> 10) KiB at most")
            }
        }
    }

    /// A gateway that dies in the middle: the file is the old one, whole, and what came in parts is gone on with elsewhere.
    @Test func aGatewayThatIsKilledInTheMiddleLeavesTheOldFileWhole() async throws {
        try await withFile { martlet, file, size in
            let old = "what was there before\n"
            for name in ["whole.bin", "parts.bin"] {
                let put = try await martlet.send("PUT", "/v1/files/\(name)", json: old)
                #expect(put.status == 201, "\(put.text)")
            }
            for (name, query, prefix) in [
                ("whole.bin", "", "once-"), ("parts.bin", "?upload=killed-upload&offset=0&total=\(size)", "part-"),
            ] {
                try await martlet.withGateway { gateway in
                    let url = try gateway.url + "/v1/files/\(name)\(query)"
                    async let sending = ChildProcess.run(
                        command(
                            #"curl -sS -H @"$3" --limit-rate 20M -T "$1" -o /dev/null "$2""#,
                            [file, url, martlet.headerFile]), deadline: .seconds(120))
                    try await eventually(
                        within: .seconds(60), describing: "half a dozen MB in the VM",
                        read: { try await unfinished(martlet, prefix) }, until: { $0 > 6_000_000 })
                    _ = try await gateway.end(.kill)
                    let ending = try await sending.ending
                    #expect(!ending.isSuccess, "the client is told that it did not work")
                }
                let there = try await martlet.send("GET", "/v1/files/\(name)")
                #expect(there.status == 200 && there.text == old, "\(name)")
            }
            try await shell(
                #"""
                url="$2?upload=killed-upload"
                at=$(curl -fsS -H @"$3" "$url" | jq .upload.offset)
                [ "$at" -gt 0 ] && [ "$at" -lt "$4" ] || { echo "cut at $at" >&2; exit 8; }
                tail -c +$((at + 1)) "$1" | curl -fsS -H @"$3" -T - -o /dev/null "$url&offset=$at&total=$4"
                curl -fsS -H @"$3" "$2" | cmp - "$1"
                """#, [file, try martlet.url + "/v1/files/parts.bin", martlet.headerFile, "\(size)"])
        }
    }

    // MARK: The bench

    /// A martlet with a VM that is up, and a sparse file with something in it here and there.
    private func withFile(_ body: (LiveMartlet, _ file: String, _ size: Int) async throws -> Void) async throws {
        try await LiveMartlet.withMartlet { martlet in
            _ = try await martlet.execute(try EndToEndTests.body("bash", "true"))
            try "Authorization: Bearer \(martlet.token)\n".write(
                toFile: martlet.headerFile, atomically: true, encoding: .utf8)
            let size = Self.megabytes * 1_000_000
            let file = try martlet.file("large.bin", "the beginning\n")
            let handle = try FileHandle(forWritingTo: URL(filePath: file))
            try handle.truncate(atOffset: UInt64(size))
            let block = Data((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 11) })
            for place in [size / 3, size / 2 + 12_345, size - block.count] {
                try handle.seek(toOffset: UInt64(place))
                try handle.write(contentsOf: block)
            }
            try handle.close()
            try await body(martlet, file, size)
        }
    }

    /// Bytes of what is on its way into the VM.
    private func unfinished(_ martlet: LiveMartlet, _ prefix: String) async throws -> Int {
        let list = try await martlet.send("GET", "/v1/files/.martlet-uploads?list")
        let object = try JSONSerialization.jsonObject(with: Data(list.body)) as? [String: Any]
        let files = object?["files"] as? [[String: Any]] ?? []
        return files.filter { ($0["name"] as? String)?.hasPrefix(prefix) == true }
            .compactMap { $0["size"] as? Int }.max() ?? 0
    }

    private func command(_ script: String, _ arguments: [String]) -> ChildProcess.Command {
        ChildProcess.Command("/bin/bash", ["-euo", "pipefail", "-c", script, "bash"] + arguments)
    }

    private func shell(_ script: String, _ arguments: [String]) async throws {
        let output = try await ChildProcess.run(command(script, arguments), deadline: .seconds(3_000))
        #expect(output.ending.isSuccess, "\(output.ending): \(output.text)\(output.errorText)")
    }

    /// The most memory that a gateway has while `body` runs.
    private func peakMemory(of gateway: MartletProcess, while body: () async throws -> Void) async throws -> Int {
        let process = gateway.child.processIdentifier
        return try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask {
                var peak = 0
                while !Task.isCancelled {
                    peak = max(peak, try residentBytes(of: process))
                    try? await Task.sleep(for: .milliseconds(20))  // the pause between two looks
                }
                return peak
            }
            try await body()
            group.cancelAll()
            return try await group.reduce(0, max)
        }
    }
}

extension LiveMartlet {
    /// What `curl -H @FILE` reads the token from.
    fileprivate var headerFile: String { "\(directory)/header" }
}
