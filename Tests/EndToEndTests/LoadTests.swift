import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// A gateway under more than it likes: what it holds is bounded, and nothing is lost.
@Suite(.serialized) struct LoadTests {
    /// 300 MB into a client that takes 1 MB/s for ten seconds and then all: the program waits, the gateway does not
    /// fill up, and every byte arrives.
    @Test func aSlowReaderHoldsTheProgramUpAndMissesNothing() async throws {
        let size = 300_000_000
        let code = """
            import sys
            block = bytes(range(256)) * 4096
            left = \(size)
            while left:
                left -= sys.stdout.buffer.write(block[:left])
            """
        try await LiveMartlet.withMartlet { martlet in
            try await martlet.withGateway { gateway in
                _ = try await martlet.execute(try body("python", "pass"), url: try gateway.url)
                let request = try martlet.request(
                    "POST", "/v1/execute",
                    json: try body("python", code, ["timeoutMs": 280_000, "limits": ["outputBytes": 1 << 30]]),
                    accept: "text/plain", url: try gateway.url, timeout: .seconds(280))
                let before = try residentBytes(of: gateway.child.processIdentifier)
                var peak = before
                var received = Pattern()
                try await martlet.http.stream(request) { response in
                    let clock = ContinuousClock()
                    let began = clock.now
                    for try await chunk in response {
                        received.check(chunk)
                        peak = max(peak, try residentBytes(of: gateway.child.processIdentifier))
                        let due = began + .seconds(Double(received.count) / 1_000_000)
                        if due - began < .seconds(10) { try await clock.sleep(until: due) }  // what makes it slow
                    }
                }
                #expect(received.count == size)
                #expect(received.isIntact)
                #expect(peak - before < 16 << 20, "the gateway grew by \((peak - before) >> 10) KiB")
                print("slow reader of \(size) bytes: gateway grew by \((peak - before) >> 10) KiB at most")
            }
        }
    }

    @Test func fiveHundredExecutionsAreOpenAtOnceAndAllAnswered() async throws {
        let count = 500
        try await LiveMartlet.withMartlet { martlet in
            _ = try await martlet.execute(try body("bash", "echo up"))
            try await martlet.withGateway { process in
                let gateway = try process.url
                _ = try await martlet.execute(try body("bash", "echo up"), url: gateway)
                let before = try residentBytes(of: process.child.processIdentifier)
                let open = OpenCount()
                let go = Waiter<Void>()
                let answered = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<count {
                        group.addTask {
                            let json = try body(
                                "bash", "read line; echo $line \(number)",
                                ["stdin": NSNull(), "timeoutMs": 240_000])
                            return try await martlet.withEvents(json, url: gateway) { events in
                                var output = ""
                                for try await event in events {
                                    if event.event == "started", let id = event.executionId {
                                        await open.add(id)
                                    }
                                    output += event.data ?? ""
                                    if event.event == "exit" { return output == "go \(number)\n" }
                                }
                                return false
                            }
                        }
                    }
                    try await eventually(
                        within: .seconds(200), describing: "all open", read: { await open.ids.count },
                        until: { $0 == count })
                    let each = (try residentBytes(of: process.child.processIdentifier) - before) / count
                    print("open executions: \(count), gateway RSS per open execution: \(each >> 10) KiB")
                    go.resume(with: .success(()))
                    for id in await open.ids {
                        var request = try martlet.request("POST", "/v1/executions/\(id)/stdin?end=1", url: gateway)
                        request.body = Array("go\n".utf8)
                        let status = try await martlet.http.send(request).status
                        #expect((200..<300).contains(status))
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(answered == count)
            }
        }
    }
}

actor OpenCount {
    private(set) var ids: [String] = []
    func add(_ id: String) { ids.append(id) }
}

/// Bytes 0 to 255 over and over, checked as they come.
struct Pattern {
    private static let block: [UInt8] = Array(repeating: Array(UInt8.min...UInt8.max), count: 4_096).flatMap { $0 }
    private(set) var count = 0
    private(set) var isIntact = true

    mutating func check(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let start = count % 256
            let part = rest.prefix(Self.block.count - start)
            isIntact = isIntact && part == Self.block[start..<start + part.count]
            count += part.count
            rest = rest.dropFirst(part.count)
        }
    }
}
