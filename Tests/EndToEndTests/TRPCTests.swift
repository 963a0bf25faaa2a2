import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// tRPC against a live server, as its client sends it. The checklist is `GatewayTests.TRPCChecklistTests`; here are those
/// of its rows once more that programs have a part in.
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

    /// The values of a stream of events with the positions that go with them.
    private func values(_ text: String) -> [(id: String, data: String)] {
        text.matches(of: /id: (.+)\ndata: (\{"type".*)\n/).map { (String($0.output.1), String($0.output.2)) }
    }

    private func printed(_ values: [(id: String, data: String)]) throws -> String {
        try values.map { try json($0.data) as? [String: Any] }.filter { $0?["type"] as? String == "stdout" }
            .map { $0?["data"] as? String ?? "" }.joined()
    }

    @Test("row 25: an iterable's values come as they are printed, then its return value")
    func valuesComeAsTheyArePrinted() async throws {
        let martlet = try shared()
        var request = try martlet.request(
            "POST", "/api/trpc/vm.executeCode?batch=1",
            json: #"{"0":{"code":"echo one; sleep 0.5; echo two; exit 3","stream":true}}"#)
        request.headers.append(("trpc-accept", "application/jsonl"))
        try await martlet.http.stream(request) { response in
            var text = ""
            var arrivals: [String: ContinuousClock.Instant] = [:]
            for try await chunk in response {
                text += String(decoding: chunk, as: UTF8.self)
                for word in ["one", "two"] where arrivals[word] == nil && text.contains(word) { arrivals[word] = .now }
            }
            let (first, second) = (try #require(arrivals["one"]), try #require(arrivals["two"]))
            #expect(second - first > .milliseconds(250))  // held up on the way, perhaps, but not till the end
            let lines = text.split(separator: "\n")
            #expect(lines.first?.hasPrefix(#"{"0":[[0],[null,0,0]]}"#) == true)
            #expect(lines.last?.contains(#"[2,0,[[{"exitCode":3,"#) == true, "\(text)")
        }
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
        let again = try await comeBack(at: String(start), path)
        #expect(again.count == 3 && again.last?.data.hasPrefix(#"{"type":"exit","code":5,"#) == true)
        #expect(try await runs(of: start) == 1)
    }

    private func comeBack(at id: String, _ path: String) async throws -> [(id: String, data: String)] {
        let martlet = try shared()
        var request = try martlet.request("GET", path, accept: "text/event-stream")
        request.headers.append(("Last-Event-ID", id))
        return values(try await martlet.http.send(request).text)
    }

    /// How often the execution of a position stands in the history.
    private func runs(of id: Substring) async throws -> Int {
        let executions = try await shared().send("GET", "/v1/executions?limit=200").text
        return executions.components(separatedBy: id.prefix(36)).count - 1
    }

    /// What the server sent after event 3 is taken for lost with the connection.
    @Test("row 30: who was cut off after event 3 gets 4 onward, by the header")
    func whoWasCutOffGetsTheRest() async throws {
        let martlet = try shared()
        let path = try subscription(
            #"{"command":"for i in $(seq 1 300); do echo $i; sleep 0.1; done","tracked":true}"#)
        let request = try martlet.request("GET", path, accept: "text/event-stream", timeout: nil)
        let text = try await martlet.http.stream(request) { response in
            var text = ""
            var iterator = response.makeAsyncIterator()
            while values(text).count < 3, let chunk = try await iterator.next() {
                text += String(decoding: chunk, as: UTF8.self)
            }
            async let ending = martlet.stop()  // which cuts off, after five seconds, what has not ended
            while let chunk = try await iterator.next() { text += String(decoding: chunk, as: UTF8.self) }
            _ = try await ending
            return text
        }
        #expect(text.contains("event: serialized-error\n") && text.contains(#""code":-32603"#))  // so it comes back
        let received = Array(values(text).prefix(3))
        let id = try #require(received.last?.id)
        try await martlet.start()
        let rest = try await comeBack(at: id, path)
        let answer = try json(try await martlet.send("GET", "/v1/executions/\(id.prefix(36))").text)
        let history = try #require((answer as? [String: [String: Any]])?["execution"])
        let all = try #require(history["stdout"] as? String)
        #expect(try printed(received) + printed(rest) == all)
        let count = all.split(separator: "\n").count
        #expect(count > 3 && all == (1...count).map { "\($0)\n" }.joined())  // none twice, none missing
        #expect(rest.last?.data.contains("The run was cancelled") == true, "\(rest)")
        #expect(try await runs(of: id[...]) == 1)
    }

    @Test("row 34: unsubscribing kills the program within a second")
    func unsubscribingKills() async throws {
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
