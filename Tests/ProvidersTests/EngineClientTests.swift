import EventLoop
import Foundation
import HTTPTransport
import Synchronization
import TestSupport
import Testing

@testable import Providers

/// The client against engines that there are elsewhere, or should not be.
@Suite struct EngineClientTests {
    /// An engine that answers `/version` so, and every other call with its path.
    private func engine<R: Sendable>(
        api: String, minimum: String, other: String = "200 OK", body: String? = nil,
        _ ask: (EngineClient) async throws -> R
    ) async throws -> R {
        @Sendable func answer(_ status: String, _ body: String) -> String {
            "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n\(body)"
        }
        return try await LoopbackServer.with(
            .answer { request in
                let path = request.split(separator: " ").dropFirst().first.map(String.init) ?? ""
                if path == "/version" {
                    return answer(
                        "200 OK", #"{"Version": "1", "ApiVersion": "\#(api)", "MinAPIVersion": "\#(minimum)"}"#)
                }
                return answer(other, body ?? path)
            }
        ) { server in
            try await ask(EngineClient(address: try EngineAddress("tcp://127.0.0.1:\(server.port)")))
        }
    }

    @Test(arguments: [("1.41", "1.12", "1.41"), ("1.48", "1.44", "1.48"), ("1.99", "1.44", "1.51")])
    func theNewestVersionThatBothKnowIsSpoken(api: String, minimum: String, spoken: String) async throws {
        try await engine(api: api, minimum: minimum) { engine in
            let response = try await engine.call("GET", "/x", query: [("a b", "c&d/é")])
            #expect(response.text == "/v\(spoken)/x?a%20b=c%26d%2F%C3%A9")
        }
    }

    @Test(arguments: [("1.40", "1.12", "20.10"), ("1.99", "1.60", "Update Martlet"), ("x", "1.12", "DOCKER_HOST")])
    func anEngineThatSpeaksNoneOfOursIsRefused(api: String, minimum: String, hint: String) async throws {
        try await engine(api: api, minimum: minimum) { engine in
            let error = await #expect(throws: ProviderError.self) { try await engine.information() }
            #expect(error?.code == .unavailable && error?.hint.contains(hint) == true, "\(error as Any)")
        }
    }

    /// JSON mostly, plain text at times, nothing at others.
    @Test(arguments: [
        (#"{"message": "no such thing"}"#, "no such thing"), ("client version 1.11 is too odd", "too odd"),
        ("", "no reason"),
    ])
    func aRefusalIsUnderstoodInAnyForm(body: String, message: String) async throws {
        try await engine(api: "1.41", minimum: "1.12", other: "400 Bad Request", body: body) { engine in
            let error = await #expect(throws: EngineFailure.self) { try await engine.information() }
            #expect(error?.status == 400 && error?.message.contains(message) == true, "\(error as Any)")
        }
    }

    @Test func anAnswerInAnUnknownFormIsNoCrash() async throws {
        try await engine(api: "1.41", minimum: "1.12", body: "<html>") { engine in
            let error = await #expect(throws: ProviderError.self) { try await engine.information() }
            #expect(error?.code == .unavailable && error?.message.contains("/info") == true)
        }
    }

    /// libcurl would send it again over a new connection, where the engine may have carried out the first.
    @Test func whatTheEngineHangsUpOnIsNotSentTwice() async throws {
        let posts = Mutex(0)
        try await LoopbackServer.with(
            .answers { request in
                if request.hasPrefix("POST ") { posts.withLock { $0 += 1 } }
                guard request.hasPrefix("GET ") else { return nil }
                let body = #"{"Version": "1", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}"#
                return "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            }
        ) { server in
            let engine = EngineClient(address: try EngineAddress("tcp://127.0.0.1:\(server.port)"))
            let error = await #expect(throws: ProviderError.self) {
                try await engine.call("POST", "/containers/create", query: [("name", "mlt-1")])
            }
            #expect(error?.code == .unavailable && error?.isRetryable == true, "\(error as Any)")
            #expect(posts.withLock { $0 } == 1)
        }
    }

    /// A build that fails is answered with 200 and says so in its stream.
    @Test func aFailureInsideAStreamIsOne() async throws {
        let body = #"{"stream": "Step 1"}"# + "\n" + #"{"errorDetail": {"message": "it broke"}, "error": "it broke"}"#
        try await engine(api: "1.41", minimum: "1.12", body: body) { engine in
            var seen: [String] = []
            let error = await #expect(throws: EngineFailure.self) {
                try await engine.stream("/build", query: [], idle: .seconds(5), timeout: .seconds(5)) { message in
                    seen.append(message.stream ?? "")
                }
            }
            #expect(error?.message == "it broke" && seen == ["Step 1"])
        }
    }

    @Test(arguments: [
        "unix://relative", "ssh://host", "docker", "tcp://", "tcp://other.example:2375", "tcp://h:1/path", "http://h",
    ])
    func whatIsNoAddressIsRefused(text: String) {
        let error = #expect(throws: ProviderError.self) { try EngineAddress(text) }
        #expect(error?.message.contains(text) == true)
    }

    @Test func addressesAreUnderstood() throws {
        #expect(try EngineAddress("unix:///run/docker.sock").unixSocket == "/run/docker.sock")
        #expect(try EngineAddress("tcp://localhost").base == "http://localhost:2375")
        #expect(try EngineAddress("tcp://[::1]:99/").base == "http://[::1]:99")
        let remote = try EngineAddress("tcp://far.example", isVerified: true, certificates: "/certs")
        #expect(remote.base == "https://far.example:2376" && remote.tls.clientKey == "/certs/key.pem")
    }

    @Test func framesOfALogAreTakenApart() {
        func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
            [stream, 0, 0, 0, 0, 0, 0, UInt8(text.utf8.count)] + text.utf8
        }
        let bytes = frame(1, "out\n") + frame(2, "") + frame(2, "err\n") + frame(1, "no end")
        #expect(LogFrames.text(of: bytes) == "out\nerr\nno end")
        #expect(LogFrames.text(of: Array(bytes.dropLast(3))) == "out\nerr\nno ")
        #expect(LogFrames.text(of: Array(bytes.prefix(5))) == "")
    }

    @Test func namesInLabelsAreLeftAsTheyAre() throws {
        struct Value: Codable, Equatable {
            let cpuShare: Int, labels: [String: String], portBindings: [String: [String]]
        }
        let value = Value(cpuShare: 1, labels: ["gh.gg/x": "a", "Big": "b"], portBindings: ["22/tcp": ["x"]])
        let bytes = try EngineCoding.encode(value)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"CpuShare":1,"Labels":{"Big":"b","gh.gg/x":"a"},"PortBindings":{"22/tcp":["x"]}}"#)
        #expect(try EngineCoding.decode(bytes) == value)
    }
}

@Suite struct TarArchiveTests {
    @Test func tarReadsWhatIsWritten() async throws {
        try await withTemporaryDirectory { directory in
            let long = String(repeating: "directory/", count: 15) + "file"
            var archive = TarArchive()
            try archive.addDirectory("etc", mode: 0o700)
            try archive.addFile("etc/secret", "hush\n", mode: 0o600)
            try archive.addFile("etc/empty", "", mode: 0o644)
            try archive.addFile(long, String(repeating: "x", count: 1_000), mode: 0o755)
            #expect(throws: TarArchive.Unfit.self) {
                try archive.addFile(String(repeating: "n", count: 101), "", mode: 0o644)
            }
            try Files.write(archive.finished(), to: "\(directory)/a.tar")
            let listing = try await ChildProcess.run(
                .init("tar", ["--utc", "-tvf", "\(directory)/a.tar"]), deadline: .seconds(10))
            #expect(listing.errorText.isEmpty)
            let seen = listing.text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            #expect(seen.map(\.first) == ["drwx------", "-rw-------", "-rw-r--r--", "-rwxr-xr-x"])
            #expect(seen.map(\.last) == ["etc/", "etc/secret", "etc/empty", long])
            #expect(seen.allSatisfy { $0[1] == "root/root" } && seen[3][2] == "1000")
            let content = try await ChildProcess.run(
                .init("tar", ["-xOf", "\(directory)/a.tar", "etc/secret"]), deadline: .seconds(10))
            #expect(content.text == "hush\n")
        }
    }
}

@Suite struct AptSourcesTests {
    @Test func bothStylesAreRead() async throws {
        try await withTemporaryDirectory { directory in
            try Files.makeDirectory("\(directory)/sources.list.d")
            try Files.write(
                "# old\ndeb [arch=amd64 signed-by=/x] http://one.example/debian bookworm main contrib # note\n"
                    + "deb-src http://no.example bookworm main\ndeb http://no.example nodistro main\n",
                to: "\(directory)/sources.list")
            try Files.write(
                "Types: deb\n# why\nURIs: http://two.example/debian\nSuites: bookworm bookworm-updates\n"
                    + "Components: main\nSigned-By:\n -----BEGIN\n\n"
                    + "Types: deb\nURIs: http://sec.example\nSuites: bookworm-security\nComponents: main\nEnabled: no\n",
                to: "\(directory)/sources.list.d/debian.sources")
            let sources = AptSources.ofThisMachine(directory: directory)
            #expect(sources.mirror == "http://one.example/debian")
            #expect(
                sources.text
                    == "deb http://one.example/debian bookworm main\ndeb http://two.example/debian bookworm-updates main\n"
            )
            #expect(AptSources.ofThisMachine(directory: "/nowhere").mirror == AptSources.standard)
            #expect(AptSources.ofThisMachine(mirror: "http://m.example").mirror == "http://m.example")
        }
    }
}
