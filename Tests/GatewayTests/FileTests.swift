import Cryptography
import EventLoop
import Foundation
import PostgreSQL
import SSH
import TestSupport
import Testing

@testable import Fleet
@testable import Gateway

extension LiveTests {
    /// `/v1/files` over a real sshd, whose home the test also sees.
    @Suite(LiveSSHD()) struct FileTests {
        typealias Answer = (status: Int, json: [String: Any], text: String, head: String)

        @Test func aFileIsWrittenReadAndReplaced() async throws {
            try await withHome { bench, home in
                let new = try await bench.call("PUT", "/v1/files/notes/a.txt?parents&mode=0600", body: "hello\n")
                #expect(new.status == 201, "\(new.text)")
                let file = try #require(new.json["file"] as? [String: Any])
                #expect(file["path"] as? String == "notes/a.txt" && file["size"] as? Int == 6)
                #expect(file["mode"] as? String == "0600" && file["type"] as? String == "file")
                #expect(try String(contentsOfFile: "\(home)/notes/a.txt", encoding: .utf8) == "hello\n")

                let read = try await bench.call("GET", "/v1/files/notes/a.txt")
                #expect(read.status == 200 && read.text == "hello\n")
                let tag = try #require(file["tag"] as? String)
                for field in [
                    "ETag: \(tag)", "Content-Type: text/plain", "X-Content-Type-Options: nosniff",
                    "Content-Disposition: attachment; filename=\"a.txt\"", "Content-Security-Policy: sandbox",
                    "Accept-Ranges: bytes", "Content-Length: 6",
                ] {
                    #expect(read.head.lowercased().contains(field.lowercased()), "\(field): \(read.head)")
                }
                let head = try await bench.call("HEAD", "/v1/files/notes/a.txt")
                #expect(head.status == 200 && head.text.isEmpty && head.head.lowercased().contains("content-length: 6"))
                #expect(try await bench.call("GET", "/v1/files/notes/a.txt?inline").head.contains(": inline"))

                let replaced = try await bench.call(
                    "PUT", "/v1/files/notes/a.txt", body: "longer\n", headers: ["If-Match": tag])
                #expect(replaced.status == 200)
                #expect((replaced.json["file"] as? [String: Any])?["mode"] as? String == "0600", "as it was")
                #expect(try FileManager.default.contentsOfDirectory(atPath: "\(home)/.martlet-uploads").isEmpty)
            }
        }

        @Test func whatWasReadBeforeIsTheCondition() async throws {
            try await withHome { bench, home in
                try write("0123456789", to: "\(home)/f")
                let read = try await bench.call("GET", "/v1/files/f")
                let tag = String(try #require(read.head.firstMatch(of: /ETag: (.*)\r\n/.ignoresCase())).output.1)
                func status(_ method: String, _ headers: [String: String], _ body: String? = nil) async throws -> Int {
                    try await bench.call(method, "/v1/files/f", body: body, headers: headers).status
                }
                #expect(try await status("GET", ["If-None-Match": tag]) == 304)
                #expect(try await status("GET", ["If-Match": "\"other\""]) == 412)
                #expect(try await status("PUT", ["If-Match": "\"other\""], "x") == 412)
                #expect(try await status("PUT", ["If-None-Match": "*"], "x") == 409)
                #expect(try String(contentsOfFile: "\(home)/f", encoding: .utf8) == "0123456789")

                let ranges: [(String, Int, String)] = [
                    ("bytes=2-4", 206, "234"), ("bytes=7-", 206, "789"), ("bytes=-3", 206, "789"),
                    ("bytes=8-99", 206, "89"), ("bytes=0-0,2-2", 200, "0123456789"), ("bytes=x", 200, "0123456789"),
                ]
                for (range, status, body) in ranges {
                    let part = try await bench.call("GET", "/v1/files/f", headers: ["Range": range])
                    #expect(part.status == status && part.text == body, "\(range): \(part.head)")
                }
                let beyond = try await bench.call("GET", "/v1/files/f", headers: ["Range": "bytes=10-"])
                #expect(beyond.status == 416 && beyond.head.contains("bytes */10"))
                let other = try await bench.call(
                    "GET", "/v1/files/f", headers: ["Range": "bytes=2-4", "If-Range": "\"other\""])
                #expect(other.status == 200 && other.text == "0123456789")
            }
        }

        @Test func noPathAndNoLinkLeadsOutOfTheHome() async throws {
            try await withHome { bench, home in
                let outside = (home as NSString).deletingLastPathComponent + "/outside"
                try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: true)
                try write("secret", to: "\(outside)/secret")
                for (link, target) in [
                    ("file", "\(outside)/secret"), ("dir", outside), ("up", ".."), ("new", "\(outside)/n"),
                ] {
                    #expect(symlink(target, "\(home)/\(link)") == 0)
                }
                let paths = [
                    "../outside/secret", "%2e%2e/outside/secret", "a/../../outside/secret", "/etc/passwd",
                    "%2Fetc%2Fpasswd", "file", "dir/secret", "up/outside/secret", "new", "dir/new", "a%00b", "a//b",
                    "./a",
                ]
                let calls: [(String, String, String?)] = [
                    ("GET", "", nil), ("GET", "?list", nil), ("GET", "?archive=tar", nil), ("PUT", "", "x"),
                    ("PUT", "?parents", "x"), ("PUT", "?upload=01234567&offset=0&total=1", "x"),
                    ("PATCH", "", #"{"mode":"777"}"#), ("PATCH", "", #"{"directory":true,"parents":true}"#),
                    ("DELETE", "?recursive", nil),
                ]
                for path in paths {
                    for (method, query, body) in calls {
                        // A link may itself be removed, and a name that is taken is no directory.
                        let isLink = ["file", "dir", "up", "new"].contains(path)
                        if isLink, method == "DELETE" || body?.contains("directory") == true { continue }
                        let answer = try await bench.call(method, "/v1/files/\(path)\(query)", body: body)
                        let code = (answer.json["error"] as? [String: Any])?["code"] as? String ?? ""
                        #expect(
                            ["path_outside_home", "invalid_request"].contains(code),
                            "\(method) \(path)\(query): \(answer.status) \(answer.text)")
                    }
                }
                let move = #"{"moveTo":"dir/moved"}"#
                try write("mine", to: "\(home)/mine")
                #expect(try await bench.call("PATCH", "/v1/files/mine", body: move).status == 403)
                #expect(try await bench.call("PATCH", "/v1/files/mine", body: #"{"moveTo":"../moved"}"#).status == 403)
                #expect(try await bench.call("DELETE", "/v1/files/dir?recursive").status == 204, "the link alone")
                #expect(try FileManager.default.contentsOfDirectory(atPath: outside) == ["secret"])
                #expect(try String(contentsOfFile: "\(outside)/secret", encoding: .utf8) == "secret")
                #expect(try await bench.call("DELETE", "/v1/files/?recursive").status == 422)
            }
        }

        @Test func namesAreAnyBytes() async throws {
            try await withHome { bench, home in
                let names = [
                    "%FF%FE", "new%0Aline", "%22quote%22",
                    "%3Cscript%3Ealert(1)%3C%2Fscript%3E".replacing("%2F", with: ""),
                    "-rf%20%2A", "caf%C3%A9", "%F0%9F%90%A6", "%0D%0ASet-Cookie%3A%20x%3D1", "100%25", "a%5Cb",
                ]
                for name in names {
                    let put = try await bench.call("PUT", "/v1/files/\(name)", body: name)
                    #expect(put.status == 201, "\(name): \(put.text)")
                }
                let list = try await bench.call("GET", "/v1/files/?list")
                let files = try #require(list.json["files"] as? [[String: Any]])
                let paths = files.compactMap { $0["path"] as? String }.filter { $0 != ".martlet-uploads" }
                #expect(paths.count == names.count)
                for path in paths {
                    let read = try await bench.call("GET", "/v1/files/\(path)")
                    #expect(read.status == 200 && names.contains(read.text), "\(path)")
                    #expect(!read.head.lowercased().contains("\r\nset-cookie"), "\(read.head)")
                    #expect(try await bench.call("DELETE", "/v1/files/\(path)").status == 204)
                }
                #expect(try FileManager.default.contentsOfDirectory(atPath: home) == [".martlet-uploads"])
            }
        }

        @Test func aDirectoryIsListedInPagesByName() async throws {
            try await withHome { bench, home in
                try FileManager.default.createDirectory(atPath: "\(home)/d", withIntermediateDirectories: true)
                for number in 0..<305 { try write("", to: "\(home)/d/\(1_000 + number)") }
                var (seen, after, more) = ([String](), "", true)
                while more {
                    let page = try await bench.call(
                        "GET", "/v1/files/d?list&limit=100" + (after.isEmpty ? "" : "&after=\(after)"))
                    let names = try #require(page.json["files"] as? [[String: Any]]).compactMap {
                        $0["name"] as? String
                    }
                    #expect(names.count <= 100)
                    seen += names
                    after = names.last ?? ""
                    more = try #require(page.json["more"] as? Bool)
                }
                #expect(seen == (0..<305).map { "\(1_000 + $0)" })
                #expect(
                    try await bench.call("GET", "/v1/files/d").json["error"].map { "\($0)" }?.contains("is_directory")
                        == true)
                #expect(try await bench.call("GET", "/v1/files/d/1000?list").status == 409)
                #expect(try await bench.call("GET", "/v1/files/none?list").status == 404)
            }
        }

        @Test func aFileComesInPartsAndIsOldUntilTheLast() async throws {
            try await withHome { bench, home in
                try write("old", to: "\(home)/f")
                let upload = "/v1/files/f?upload=1234-abcd&total=10"
                let first = try await bench.call("PUT", upload + "&offset=0", body: "0123")
                #expect(first.status == 202 && (first.json["upload"] as? [String: Any])?["offset"] as? Int == 4)
                #expect(try String(contentsOfFile: "\(home)/f", encoding: .utf8) == "old")
                let wrong = try await bench.call("PUT", upload + "&offset=7", body: "789")
                #expect(wrong.status == 409 && wrong.text.contains("upload_mismatch"))
                let state = try await bench.call("GET", "/v1/files/f?upload=1234-abcd")
                #expect((state.json["upload"] as? [String: Any])?["offset"] as? Int == 4)
                #expect(try await bench.call("PUT", upload + "&offset=4", body: "456789").status == 200)
                #expect(try String(contentsOfFile: "\(home)/f", encoding: .utf8) == "0123456789")
                #expect(try await bench.call("GET", "/v1/files/f?upload=1234-abcd").status == 404)
                #expect(try await bench.call("PUT", "/v1/files/f?upload=short", body: "x").status == 422)

                #expect(try await bench.call("PUT", upload + "&offset=0", body: "01").status == 202)
                #expect(try await bench.call("DELETE", "/v1/files/f?upload=1234-abcd").status == 204)
                #expect(try await bench.call("GET", "/v1/files/f?upload=1234-abcd").status == 404)
            }
        }

        /// What nobody goes on with is bounded, and the bound keeps nobody from what was begun.
        @Test func aHomeKeepsAHundredUnfinishedUploads() async throws {
            try await withHome { bench, home in
                let uploads = "\(home)/.martlet-uploads"
                for number in 0..<100 {
                    let path = "/v1/files/f?upload=unfinished-\(number)&total=10&offset=0"
                    guard number < 2 else {
                        try write("0123", to: "\(uploads)/part-unfinished-\(number)")
                        continue
                    }
                    #expect(try await bench.call("PUT", path, body: "0123").status == 202)
                }
                let another = "/v1/files/f?upload=one-more-of-it&total=10&offset=0"
                let refused = try await bench.call("PUT", another, body: "0123")
                #expect(refused.status == 409 && refused.text.contains("file_refused"), "\(refused.text)")
                #expect(refused.text.contains("DELETE ?upload="))
                #expect(try await bench.call("PUT", "/v1/files/g", body: "whole").status == 201, "no part")
                let on = try await bench.call(
                    "PUT", "/v1/files/f?upload=unfinished-7&total=10&offset=4", body: "456789")
                #expect(on.status == 201, "\(on.text)")
                #expect(try await bench.call("PUT", another, body: "0123").status == 202, "there is room again")
                #expect(try await bench.call("PUT", another, body: "01234").status == 202, "it begins again itself")
                // A day later all but one are gone.
                let kept = "part-unfinished-1"
                for name in try FileManager.default.contentsOfDirectory(atPath: uploads) where name != kept {
                    try FileManager.default.setAttributes(
                        [.modificationDate: Date(timeIntervalSinceNow: -90_000)], ofItemAtPath: "\(uploads)/\(name)")
                }
                #expect(try await bench.call("PUT", "/v1/files/g", body: "again").status == 200)
                #expect(try FileManager.default.contentsOfDirectory(atPath: uploads) == [kept])
            }
        }

        /// Parts take minutes, and somebody else may be quicker: what a condition says is looked at with the last one too.
        @Test func aConditionHoldsForEveryPart() async throws {
            try await withHome { bench, home in
                let parts = "/v1/files/f?upload=conditional&total=6"
                let new = ["If-None-Match": "*"]
                #expect(try await bench.call("PUT", parts + "&offset=0", body: "012", headers: new).status == 202)
                try write("of another", to: "\(home)/f")
                let late = try await bench.call("PUT", parts + "&offset=3", body: "345", headers: new)
                #expect(late.status == 409 && late.text.contains("file_exists"), "\(late.text)")
                #expect(try String(contentsOfFile: "\(home)/f", encoding: .utf8) == "of another")
                let state = try await bench.call("GET", "/v1/files/f?upload=conditional")
                #expect((state.json["upload"] as? [String: Any])?["offset"] as? Int == 3, "and nothing of it is lost")

                let info = try await bench.call("GET", "/v1/files/f?stat")
                let tag = try #require((info.json["file"] as? [String: Any])?["tag"] as? String)
                try write("of another again", to: "\(home)/f")
                let stale = try await bench.call("PUT", parts + "&offset=3", body: "345", headers: ["If-Match": tag])
                #expect(stale.status == 412, "\(stale.text)")
                #expect(try await bench.call("PUT", parts + "&offset=3", body: "345").status == 200)
                #expect(try String(contentsOfFile: "\(home)/f", encoding: .utf8) == "012345")
            }
        }

        @Test func emptyFilesLongNamesAndMovesThatCannotBe() async throws {
            try await withHome { bench, home in
                let empty = try await bench.call("PUT", "/v1/files/e?upload=empty-file&offset=0&total=0", body: "")
                #expect(empty.status == 201 && (empty.json["file"] as? [String: Any])?["size"] as? Int == 0)
                #expect(try await bench.call("GET", "/v1/files/e").head.lowercased().contains("content-length: 0"))
                #expect(try await bench.call("GET", "/v1/files/e", headers: ["Range": "bytes=0-"]).status == 416)
                let tooMuch = try await bench.call(
                    "PUT", "/v1/files/o?upload=too-much-of-it&offset=0&total=3", body: "0123")
                #expect(tooMuch.status == 409 && tooMuch.text.contains("upload_mismatch"))
                #expect(try await bench.call("GET", "/v1/files/o").status == 404)
                for query in ["offset=5&total=4", "offset=-1&total=4", "offset=0", "total=4", "offset=0&total=x"] {
                    let answer = try await bench.call("PUT", "/v1/files/o?upload=not-a-number&\(query)", body: "x")
                    #expect(answer.status == 422 || answer.status == 400, "\(query): \(answer.status)")
                }

                let longest = String(repeating: "n", count: 255)
                #expect(try await bench.call("PUT", "/v1/files/\(longest)", body: "x").status == 201)
                #expect(try await bench.call("PUT", "/v1/files/\(longest)n", body: "x").status == 422)
                #expect(try await bench.call("GET", "/v1/files/?list&after=\(longest)").json["more"] as? Bool == false)

                try FileManager.default.createDirectory(atPath: "\(home)/d/e", withIntermediateDirectories: true)
                try write("x", to: "\(home)/d/e/f")
                func move(_ path: String, _ body: String) async throws -> Answer {
                    try await bench.call("PATCH", "/v1/files/\(path)", body: body)
                }
                let inside = try await move("d", #"{"moveTo":"d/e/d"}"#)
                #expect(inside.status == 422 && inside.text.contains("cannot be moved into itself"), "\(inside.text)")
                #expect(try await move("e", #"{"moveTo":"e"}"#).status == 409)
                #expect(try await move("e", #"{"moveTo":"e","overwrite":true}"#).status == 200, "itself")
                #expect(try await move("e", #"{"moveTo":"d","overwrite":true}"#).status == 409)
                let over = try await move("d", #"{"moveTo":"e","overwrite":true}"#)
                #expect(over.status == 409 && over.text.contains("not_a_directory"), "\(over.text)")
                #expect(try await move("none", #"{"moveTo":"e2"}"#).status == 404)
                #expect(try String(contentsOfFile: "\(home)/d/e/f", encoding: .utf8) == "x")
            }
        }

        /// The client goes in the middle: the file is as it was, and nothing is left over. What a gateway that died has
        /// left is swept by the next write.
        @Test func anInterruptedWriteChangesNothing() async throws {
            try await withHome { bench, home in
                try write("old", to: "\(home)/f")
                let uploads = "\(home)/.martlet-uploads"
                func left() -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: uploads)) ?? [] }
                try await RawClient.connected(to: bench.port) { client in
                    try await client.send(
                        """
                        PUT /v1/files/f HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(bench.token)\r\n\
                        Content-Length: 1000000\r\n\r\n
                        """)
                    try await client.send([UInt8](repeating: 7, count: 500_000))
                    try await eventually(describing: "bytes in the VM") { !left().isEmpty }
                    try await client.reset()
                }
                try await eventually(describing: "nothing left over") { left().isEmpty }
                #expect(try String(contentsOfFile: "\(home)/f", encoding: .utf8) == "old")

                try write("x", to: "\(uploads)/once-dead")
                try write("x", to: "\(uploads)/part-12345678")
                try write("x", to: "\(uploads)/once-young")
                for (name, hours) in [("once-dead", 2.0), ("part-12345678", 25.0)] {
                    try FileManager.default.setAttributes(
                        [.modificationDate: Date(timeIntervalSinceNow: -3_600 * hours)],
                        ofItemAtPath: "\(uploads)/\(name)")
                }
                #expect(try await bench.call("PUT", "/v1/files/f", body: "new").status == 200)
                #expect(left() == ["once-young"])
            }
        }

        @Test func filesAreMovedAndRemoved() async throws {
            try await withHome { bench, home in
                for name in ["a", "b"] { try write(name, to: "\(home)/\(name)") }
                func change(_ path: String, _ body: String) async throws -> Answer {
                    try await bench.call("PATCH", "/v1/files/\(path)", body: body)
                }
                #expect(try await change("a", #"{"moveTo":"b"}"#).status == 409)
                #expect(try await change("a", #"{"moveTo":"d/c"}"#).status == 404)
                let moved = try await change("a", #"{"moveTo":"d/e%20f","parents":true}"#)
                #expect(moved.status == 200 && (moved.json["file"] as? [String: Any])?["name"] as? String == "e f")
                #expect(try await change("d/e%20f", #"{"moveTo":"b","overwrite":true}"#).status == 200)
                #expect(try String(contentsOfFile: "\(home)/b", encoding: .utf8) == "a")
                #expect(
                    try await change("b", #"{"mode":"750"}"#).json["file"].map { "\($0)" }?.contains("0750") == true)
                #expect(try await change("x/y", #"{"directory":true}"#).status == 404)
                #expect(try await change("x/y", #"{"directory":true,"parents":true}"#).status == 200)
                #expect(try await change("x", #"{"moveTo":"z"}"#).status == 200)
                #expect(try await change("z", #"{"moveTo":"q","mode":"1"}"#).status == 422)

                for number in 0..<250 { try write("", to: "\(home)/z/y/\(number)") }
                #expect(try await bench.call("DELETE", "/v1/files/z").text.contains("directory_not_empty"))
                #expect(try await bench.call("DELETE", "/v1/files/z?recursive").status == 204)
                #expect(try await bench.call("DELETE", "/v1/files/z?recursive").status == 404)
                #expect(!FileManager.default.fileExists(atPath: "\(home)/z"))
                #expect(try await bench.call("PUT", "/v1/files/d", body: "x").text.contains("is_directory"))
            }
        }

        @Test func aDirectoryIsGivenAsATarArchive() async throws {
            try await withHome { bench, home in
                let long = String(repeating: "long", count: 40)
                try FileManager.default.createDirectory(atPath: "\(home)/d/\(long)", withIntermediateDirectories: true)
                try write("one", to: "\(home)/d/one")
                try write(String(repeating: "x", count: 100_000), to: "\(home)/d/\(long)/big")
                #expect(symlink("one", "\(home)/d/link") == 0 && mkfifo("\(home)/d/pipe", 0o600) == 0)
                let answer = try await bench.call("GET", "/v1/files/d?archive=tar")
                #expect(answer.status == 200 && answer.head.contains("d.tar"))
                try await withTemporaryDirectory { directory in
                    try Data(answer.text.utf8).write(to: URL(filePath: "\(directory)/d.tar"))
                    let result = try await ChildProcess.run(
                        .init("/usr/bin/tar", ["-C", directory, "-xf", "\(directory)/d.tar"]), deadline: .seconds(30))
                    #expect(result.ending == .exited(0), "\(String(decoding: result.error, as: UTF8.self))")
                    #expect(try String(contentsOfFile: "\(directory)/d/link", encoding: .utf8) == "one")
                    #expect(try Data(contentsOf: URL(filePath: "\(directory)/d/\(long)/big")).count == 100_000)
                    #expect(!FileManager.default.fileExists(atPath: "\(directory)/d/pipe"))
                }
            }
        }

        @Test func aPipeIsNotOpenedAndNoVMHasNoFiles() async throws {
            try await withHome { bench, home in
                #expect(mkfifo("\(home)/pipe", 0o600) == 0)
                #expect(try await bench.call("GET", "/v1/files/pipe").text.contains("file_refused"))
                #expect(try await bench.call("PUT", "/v1/files/pipe", body: "x").text.contains("file_refused"))
                let stranger = try await bench.call("GET", "/v1/files/?list", token: bench.strangersToken)
                #expect(stranger.status == 404 && stranger.text.contains("environment_not_found"))
            }
        }

        // MARK: The bench

        private func write(_ text: String, to path: String) throws {
            try Data(text.utf8).write(to: URL(filePath: path))
        }

        private func withHome(_ body: @Sendable @escaping (Bench, _ home: String) async throws -> Void) async throws {
            try await LiveTests().withBench { bench in
                try await withTemporaryDirectory { directory in
                    let home = directory + "/home"
                    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
                    try await SSHServer.with(settings: ["Subsystem sftp internal-sftp -d \(home)"]) { server in
                        let made = try await bench.call("POST", "/v1/vm")
                        let shown = (made.json["vm"] as? [String: Any])?["id"] as? String
                        let id = try #require(shown.flatMap { EnvironmentID($0) })
                        let environment = try #require(try await bench.fleet.environments.find(id))
                        try await environment.pretendsToRun(in: bench.fleet, at: server.endpoint)
                        try await body(bench, home)
                    }
                }
            }
        }
    }
}

extension Environment {
    /// As a worker would have it run.
    func pretendsToRun(
        in fleet: Fleet, at endpoint: SSHEndpoint, runnerPort: Int = 1, runnerSecret: String = ""
    ) async throws {
        let secrets = EnvironmentSecrets(
            clientKey: SSHKeyPair(privateKey: endpoint.privateKey, publicKey: ""),
            hostKey: SSHKeyPair(privateKey: "", publicKey: endpoint.hostKey), runnerSecret: runnerSecret)
        let sealed = try fleet.environments.secretBox.seal(
            Array(try JSONEncoder().encode(secrets)), context: "environment:\(self.id)")
        try await fleet.database.execute("UPDATE dev_environments SET secrets = \(sealed) WHERE id = \(self.id)")
        let running = try await fleet.environments.move(
            self.id, from: self.state, generation: self.generation, to: .running,
            change: EnvironmentChange(
                providerInstanceID: "vm",
                endpoint: EnvironmentEndpoint(
                    host: endpoint.host, port: endpoint.port, user: endpoint.user, runnerPort: runnerPort)),
            actor: .worker("w"), action: "test")
        #expect(running?.state == .running)
    }
}
