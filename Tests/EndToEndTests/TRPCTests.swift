import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// tRPC against a live server, as its client sends it.
@Suite(SharedMartlet()) struct TRPCTests {
    private func json(_ text: String) throws -> Any { try JSONSerialization.jsonObject(with: Data(text.utf8)) }

    private func subscription(_ input: String) throws -> String {
        "/api/trpc/vm.executeCodeStream?input="
            + (try #require(input.addingPercentEncoding(withAllowedCharacters: .alphanumerics)))
    }

    @Test func aDashboardSeesItsVMAndRunsCodeInIt() async throws {
        let martlet = try shared()
        let run = try await martlet.send(
            "POST", "/api/trpc/vm.executeCode?batch=1", json: #"{"0":{"code":"echo out; echo err >&2; exit 3"}}"#)
        #expect(run.status == 200)
        let envelopes = try #require(try json(run.text) as? [[String: [String: [String: Any]]]])
        let result = try #require(envelopes.first?["result"]?["data"])
        #expect(result["stdout"] as? String == "out\n" && result["stderr"] as? String == "err\n")
        #expect(result["exitCode"] as? Int == 3)

        let queries = try await martlet.send(
            "GET", "/api/trpc/vm.getMyVm,vm.listFlavors,vm.getAllVms?batch=1&input=%7B%7D")
        let answers = try #require(try json(queries.text) as? [[String: [String: Any]]]).map { $0["result"]?["data"] }
        let vm = try #require(answers[0] as? [String: Any])
        #expect(vm["status"] as? String == "running" && vm["sshUsername"] is String && vm["internalIp"] is String)
        #expect((answers[1] as? [[String: Any]])?.count == 3)
        let stats = (answers[2] as? [String: Any])?["stats"] as? [String: Int]
        #expect(stats?["running"] == 1)
    }

    @Test func aSubscriptionStreamsAndItsReaderMayComeBack() async throws {
        let martlet = try shared()
        let path = try subscription(#"{"command":"echo one; echo two >&2; exit 5","tracked":true}"#)
        let answer = try await martlet.send("GET", path, accept: "text/event-stream")
        #expect(answer.text.hasPrefix("event: connected\n") && answer.text.hasSuffix("event: return\ndata: {}\n\n"))
        #expect(answer.text.contains(#"data: {"type":"stdout","data":"one\n"}"#))
        #expect(answer.text.contains(#"data: {"type":"stderr","data":"two\n"}"#))
        #expect(answer.text.contains(#"data: {"type":"exit","code":5,"#))

        // As if the connection had been cut at once: the rest comes from the history, and nothing runs.
        let start = try #require(answer.text.firstMatch(of: /id: (.*:0:0:0)\n/)).output.1
        var request = try martlet.request("GET", path)
        request.headers.append(("Last-Event-ID", String(start)))
        let again = try await martlet.http.send(request)
        let values = again.text.matches(of: /data: (\{"type".*)\n/).map { String($0.output.1) }
        #expect(values.count == 3 && values.last?.hasPrefix(#"{"type":"exit","code":5,"#) == true)
        let executions = try await martlet.send("GET", "/v1/executions?limit=200").text
        #expect(executions.components(separatedBy: String(start.prefix(36))).count == 2)
    }

    @Test func unsubscribingKills() async throws {
        let martlet = try shared()
        let mark = marker()
        let request = try martlet.request(
            "GET", try subscription("{\"command\":\"echo up; exec -a \(mark) sleep 1000\"}"), timeout: nil)
        try await martlet.http.stream(request) { response in
            var text = ""
            for try await chunk in response {
                text += String(decoding: chunk, as: UTF8.self)
                if text.contains("up") { break }
            }
            try await eventually(describing: "the program runs") { !processes(marked: mark).isEmpty }
        }
        try await eventually(within: .seconds(1), describing: "the program is gone") { processes(marked: mark).isEmpty }
    }
}
