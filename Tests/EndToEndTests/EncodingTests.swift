import Foundation
import HTTPTransport
import TestSupport
import Testing

/// The four encodings of one stream, over the wire.
@Suite(SharedMartlet()) struct EncodingTests {
    let code = "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\nsys.exit(3)"

    @Test func serverSentEvents() async throws {
        let answer = try await shared().send(
            "POST", "/v1/execute", json: try body("python", code), accept: "text/event-stream")
        #expect(answer["Content-Type"]?.hasPrefix("text/event-stream") == true)
        #expect(answer.text.contains("event: started\n"))
        #expect(answer.text.contains("event: stdout\nid: 1\ndata: {\"event\":\"stdout\",\"seq\":1,\"data\":\"out"))
        #expect(answer.text.hasSuffix("}\n\n"))
        #expect(answer.text.contains("event: exit\ndata: {\"event\":\"exit\",\"exitCode\":3"))
    }

    @Test func plainTextWithTheExitCodeInATrailer() async throws {
        let answer = try await shared().send(
            "POST", "/v1/execute", json: try body("python", "print('out')\nraise SystemExit(3)"), accept: "text/plain")
        #expect(answer.text == "out\n")
        let trailer = answer.trailers.first { $0.0.lowercased() == "martlet-exit-code" }
        #expect(trailer?.1 == "3")
    }

    @Test func bufferedJSON() async throws {
        let answer = try await shared().send(
            "POST", "/v1/execute", json: try body("python", code), accept: "application/json")
        #expect(answer.status == 200)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        #expect(object["stdout"] as? String == "out\n")
        #expect(object["stderr"] as? String == "err\n")
        #expect(object["exitCode"] as? Int == 3)
        #expect(object["reason"] as? String == "exited")
    }

    @Test func ndjsonIsTheDefaultAndAnythingElseIsRefused() async throws {
        let answer = try await shared().send("POST", "/v1/execute", json: try body("python", code))
        #expect(answer["Content-Type"]?.hasPrefix("application/x-ndjson") == true)
        let refused = try await shared().send(
            "POST", "/v1/execute", json: try body("python", code), accept: "image/png")
        #expect(refused.status == 406)
    }

    @Test(arguments: ["application/x-ndjson", "text/event-stream", "text/plain"])
    func aLineArrivesBeforeTheNextIsPrinted(accept: String) async throws {
        let martlet = try shared()
        _ = try await martlet.execute(try body("python", "pass"))  // the VM is awake
        let code = "import time\nfor i in (1, 2, 3): print(f'@{time.time()}@', flush=True); time.sleep(1)"
        let request = try martlet.request("POST", "/v1/execute", json: try body("python", code), accept: accept)
        var delays: [TimeInterval] = []
        try await martlet.http.stream(request) { response in
            for try await chunk in response {
                let now = Date.now.timeIntervalSince1970
                let parts = String(decoding: chunk, as: UTF8.self).split(separator: "@")
                for part in parts {
                    if let printed = TimeInterval(part), printed > 1e9 { delays.append(now - printed) }
                }
            }
        }
        #expect(delays.count == 3)
        #expect(delays.allSatisfy { $0 < 1 }, "delays: \(delays)")  // how long it takes, 'make bench' says
    }
}
