import Cryptography
import EventLoop
import Foundation
import SSH
import TestSupport
import Testing

@testable import Fleet
@testable import Gateway

extension LiveTests {
    /// `/v1/ssh-keys` over a real sshd, whose home the test also sees.
    @Suite(LiveSSHD()) struct SSHKeyTests {
        private func key(_ comment: String = "laptop") throws -> SSHPublicKey {
            try SSHPublicKey(SSHKeyPair.generate(comment: comment).publicKey)
        }

        @Test func aKeyIsInTheRunningVMWhenItsAdditionIsAnswered() async throws {
            try await withHome { bench, home in
                let file = "\(home)/.ssh/authorized_keys2"
                func lines() -> [String] {
                    let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
                    return text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
                }
                let (first, second) = (try key(), try key("work"))
                let added = try await bench.call(
                    "POST", "/v1/ssh-keys", body: #"{"key":"\#(first.text) me at home\n"}"#)
                #expect(added.status == 201, "\(added.text)")
                let shown = try #require(added.json["key"] as? [String: Any])
                #expect(
                    shown["name"] as? String == "me at home" && shown["fingerprint"] as? String == first.fingerprint)
                let id = try #require(shown["id"] as? String)
                #expect(lines() == ["\(first.text) martlet-key-\(id)"])
                for (path, mode) in [(file, 0o600), ("\(home)/.ssh", 0o700)] {
                    let attributes = try FileManager.default.attributesOfItem(atPath: path)
                    #expect(attributes[.posixPermissions] as? Int == mode, "\(path)")
                }

                // What is the user's own stays; what a program has made of ours does not.
                try Data("own\n".utf8).write(to: URL(filePath: "\(home)/.ssh/authorized_keys"))
                try Data("planted\n".utf8).write(to: URL(filePath: file))
                let body = #"{"key":"\#(second.text)","name":"<b>'work'</b>"}"#
                #expect(try await bench.call("POST", "/v1/ssh-keys", body: body).status == 201)
                #expect(lines().count == 2 && lines().allSatisfy { !$0.contains("<b>") && !$0.contains("planted") })
                #expect(try String(contentsOfFile: "\(home)/.ssh/authorized_keys", encoding: .utf8) == "own\n")
                #expect(
                    try FileManager.default.contentsOfDirectory(atPath: "\(home)/.ssh").sorted()
                        == ["authorized_keys", "authorized_keys2"])

                let listed = try await bench.call("GET", "/v1/ssh-keys").json["keys"] as? [[String: Any]]
                #expect(listed?.compactMap { $0["name"] as? String } == ["me at home", "<b>'work'</b>"])
                #expect(try await bench.call("DELETE", "/v1/ssh-keys/\(id)").status == 204)
                #expect(lines().count == 1 && lines()[0].hasPrefix(second.text))
                #expect(try await bench.call("DELETE", "/v1/ssh-keys/\(id)").status == 404)
            }
        }

        @Test func whatIsNoKeyIsRefusedAndNotRepeated() async throws {
            try await LiveTests().withBench { bench in
                let good = try key()
                let secret = "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1r"
                for (body, word) in [
                    (#"{"key":"\#(secret)"}"#, "private key"), (#"{"key":"command=\"sh\" \#(good.text)"}"#, "options"),
                    (#"{"key":"\#(good.text)\n\#(good.text)"}"#, "one line"), (#"{"key":"hello"}"#, "kind"),
                    (#"{"key":"\#(good.text.dropLast(4))"}"#, "whole"), (#"{"name":"x"}"#, "'key' is missing"),
                    (#"{"key":"\#(good.text)","name":"\n"}"#, "name"), (#"{"key":"\#(good.text)","more":1}"#, "more"),
                ] {
                    let answer = try await bench.call("POST", "/v1/ssh-keys", body: body)
                    let error = answer.json["error"] as? [String: String]
                    #expect(answer.status == 422 && error?["code"] == "invalid_request", "\(body): \(answer.text)")
                    let said = "\(error?["message"] ?? "") \(error?["hint"] ?? "")"
                    #expect(said.contains(word), "\(said)")
                    #expect(!answer.text.contains("b3BlbnNzaC1r"))
                }
                #expect(try await bench.call("POST", "/v1/ssh-keys", body: #"{"key":"\#(good.text)"}"#).status == 201)
                let again = try await bench.call("POST", "/v1/ssh-keys", body: #"{"key":"\#(good.text)"}"#)
                #expect(again.status == 409 && again.text.contains("already_exists"))
            }
        }

        @Test func hostsAreTheCallersOwn() async throws {
            try await LiveTests().withBench { bench in
                _ = try await bench.call("POST", "/v1/vm")
                let hosts = try await bench.call("GET", "/v1/ssh/hosts").json["hosts"] as? [[String: Any]]
                let host = try #require(hosts?.first)
                #expect(hosts?.count == 1 && host["isOwnVM"] as? Bool == true && host["user"] as? String == "martlet")
                let key = try SSHPublicKey(try #require(host["hostKey"] as? String))
                #expect(key.fingerprint == host["fingerprint"] as? String)
                let others = try await bench.call("GET", "/v1/ssh/hosts", token: bench.strangersToken)
                #expect((others.json["hosts"] as? [Any])?.isEmpty == true)
            }
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
