import EventLoop
import Foundation
import HTTPTransport
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct HTTPClientTests {
    let client = HTTPClient()

    /// Serves every request of every connection with what `answer` makes of it.
    private func withServer<Result>(
        answering answer: @escaping @Sendable (_ head: String, _ body: [UInt8]) -> String,
        _ body: (TestServer) async throws -> Result
    ) async throws -> Result {
        try await withServer({ connection in
            while let (head, body) = connection.request(), connection.write(answer(head, body)) {}
        }) { try await body($0) }
    }

    private func withServer<Result>(
        _ serve: @escaping @Sendable (TestServer.Connection) -> Void, _ body: (TestServer) async throws -> Result
    ) async throws -> Result {
        let server = try TestServer(serve)
        defer { server.stop() }
        return try await body(server)
    }

    private func failure(of request: HTTPRequest, bodyLimit: Int = 1 << 20) async -> HTTPTransportError? {
        do {
            _ = try await client.send(request, bodyLimit: bodyLimit)
            return nil
        } catch { return error as? HTTPTransportError }
    }

    // MARK: Requests

    @Test func requestsArriveAsTheyWereGivenAndShareAConnection() async throws {
        let body = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0) }
        let seen = Mutex<[(head: String, body: [UInt8])]>([])
        try await withServer(answering: { head, body in
            seen.withLock { $0.append((head, body)) }
            return "HTTP/1.1 201 Created\r\nX-One: a\r\nx-one: b\r\nContent-Length: 2\r\n\r\nok"
        }) { server in
            let first = try await client.send(
                HTTPRequest("POST", server.url + "/a?b=c", headers: [("X-Mine", "1"), ("Empty", "")], body: body))
            #expect(first.status == 201)
            #expect(first.text == "ok")
            #expect(first["X-ONE"] == "a")
            #expect(first.headers.map(\.1) == ["a", "b", "2"])
            _ = try await client.send(HTTPRequest("DELETE", server.url))
            _ = try await client.send(HTTPRequest("PUT", server.url))
            #expect(server.accepted == 1)
        }
        let requests = seen.withLock { $0 }
        #expect(requests[0].head.hasPrefix("POST /a?b=c HTTP/1.1\r\n"))
        #expect(requests[0].head.contains("\r\nX-Mine: 1\r\n") && requests[0].head.contains("\r\nEmpty:\r\n"))
        #expect(!requests[0].head.contains("Expect:") && !requests[0].head.contains("Content-Type:"))
        #expect(requests[0].body == body)
        #expect(requests[1].head.hasPrefix("DELETE / ") && !requests[1].head.contains("Content-Length"))
        #expect(requests[2].head.contains("Content-Length: 0\r\n"))
    }

    @Test(arguments: [("GET\r\nX: y", "X", "1"), ("GET", "X: y\r\nZ", "1"), ("GET", "X", "1\r\nZ: 2"), ("", "X", "1")])
    func nothingCanBeSmuggledIn(method: String, name: String, value: String) async throws {
        let request = HTTPRequest(method, "http://127.0.0.1:1/", headers: [(name, value)])
        #expect(await failure(of: request)?.code == .invalidRequest)
        #expect(await failure(of: HTTPRequest("GET", "file:///etc/passwd"))?.code == .invalidRequest)
    }

    @Test func unixSocketsWork() async throws {
        let path = NSTemporaryDirectory() + "martlet-http-\(UUID().uuidString.prefix(8)).sock"
        let server = try TestServer(unixSocket: path) { connection in
            while connection.request() != nil { connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong") }
        }
        defer {
            server.stop()
            unlink(path)
        }
        let response = try await client.send(HTTPRequest("GET", "http://docker/_ping", unixSocket: path))
        #expect(response.text == "pong")
        let error = await failure(of: HTTPRequest("GET", "http://docker/_ping", unixSocket: path + ".not"))
        #expect(error?.code == .connectFailed)
    }

    @Test func aConnectionClosedMeanwhileIsReplaced() async throws {
        try await withServer({ connection in
            if connection.request() != nil { connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx") }
        }) { server in
            for _ in 0..<20 {
                let response = try await client.send(HTTPRequest("PUT", server.url))
                #expect(response.text == "x")
            }
            #expect(server.accepted == 20)
        }
    }

    /// `nil`: as the method says.
    @Test(arguments: [("POST", nil, 1), ("PATCH", nil, 1), ("DELETE", nil, 2), ("POST", true, 2), ("GET", false, 1)])
    func whatMustNotBeSentTwiceIsNot(method: String, isRepeatable: Bool?, times: Int) async throws {
        let orders = Mutex(0)
        try await withServer({ connection in
            while let (head, _) = connection.request() {
                if head.hasPrefix("\(method) /order ") {
                    orders.withLock { $0 += 1 }
                    return  // carried out, and hangs up without an answer
                }
                connection.write("HTTP/1.1 204 No Content\r\n\r\n")
            }
        }) { server in
            _ = try await client.send(HTTPRequest("GET", server.url))  // leaves a connection to be used again
            var order = HTTPRequest(method, server.url + "/order")
            if let isRepeatable { order.isRepeatable = isRepeatable }
            #expect(await failure(of: order)?.code == .closed)
            #expect(orders.withLock { $0 } == times)
            #expect(server.accepted == 2)
        }
    }

    @Test func hundredsOfRequestsRunAtOnce() async throws {
        let gate = DispatchSemaphore(value: 0)
        try await withServer({ connection in
            guard let (head, _) = connection.request() else { return }
            gate.wait()
            gate.signal()
            let path = head.split(separator: " ")[1]
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(path.utf8.count)\r\n\r\n\(path)")
        }) { server in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<300 {
                    group.addTask { [client] in
                        try await client.send(HTTPRequest("GET", server.url + "/\(number)")).text == "/\(number)"
                    }
                }
                try await eventually("connections", { server.openConnections }, is: { $0 == 300 })
                gate.signal()
                for try await isRight in group { #expect(isRight) }
            }
        }
    }

    // MARK: Answers

    @Test func chunkedBodiesAndTrailersAreRead() async throws {
        try await withServer(answering: { _, _ in
            "HTTP/1.1 100 Continue\r\nX: no\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Exit\r\n\r\n"
                + "5\r\nhello\r\n7\r\n, world\r\n0\r\nX-Exit: 3\r\n\r\n"
        }) { server in
            let response = try await client.send(HTTPRequest("GET", server.url))
            #expect(response.status == 200)
            #expect(response["X"] == nil)
            #expect(response.text == "hello, world")
            #expect(response.trailers.map { "\($0.0)=\($0.1)" } == ["X-Exit=3"])
            #expect(server.accepted == 1)
        }
    }

    @Test func answersWithoutBodyEndAtTheirHead() async throws {
        try await withServer(answering: { head, _ in
            head.hasPrefix("HEAD") ? "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" : "HTTP/1.1 204 None\r\n\r\n"
        }) { server in
            let head = try await client.send(HTTPRequest("HEAD", server.url))
            #expect(head["content-length"] == "99999999")
            let empty = try await client.send(HTTPRequest("GET", server.url))
            #expect(empty.status == 204)
        }
    }

    @Test func eachPartOfABodyIsThereWhenItWasSent() async throws {
        let received = DispatchSemaphore(value: 0)
        try await withServer({ connection in
            guard connection.request() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in 0..<3 {
                connection.write("1\r\n\(part)\r\n")
                received.wait()
            }
            connection.write("0\r\n\r\n")
        }) { server in
            let parts = try await client.stream(HTTPRequest("GET", server.url)) { response in
                var parts: [String] = []
                for try await chunk in response {
                    parts.append(String(decoding: chunk, as: UTF8.self))
                    received.signal()
                }
                return parts
            }
            #expect(parts == ["0", "1", "2"])
        }
    }

    @Test(arguments: ["Content-Length: 104857600\r\n\r\n", "Connection: close\r\n\r\n"])
    func aLongBodyWaitsForItsReaderAndCostsNoMemory(framing: String) async throws {
        let piece = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let pattern = piece + piece + piece + piece
        let total = 100 << 20
        try await withServer({ connection in
            guard connection.request() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\n" + framing)
            for _ in 0..<(total / piece.count) where !connection.write(piece) { return }
        }) { server in
            let before = try residentBytes()
            try await client.stream(HTTPRequest("GET", server.url, timeout: nil)) { response in
                var offset = 0
                var peak = before
                for try await chunk in response {
                    let isRight = chunk.withUnsafeBytes { chunk in
                        pattern.withUnsafeBytes {
                            memcmp(chunk.baseAddress!, $0.baseAddress! + offset % 256, chunk.count)
                        }
                    }
                    if isRight != 0 { Issue.record("torn at \(offset)") }
                    if offset == 0 {
                        var last = -1  // nobody reads now: the server comes to a halt
                        try await eventually(
                            "bytes sent", { (server.sent.count, swap(&last, server.sent.count)) },
                            is: { $0.0 > 1 << 20 && $0.0 == $0.1 })
                        #expect(server.sent.count < 32 << 20)
                    }
                    offset += chunk.count
                    peak = max(peak, try residentBytes())
                }
                #expect(offset == total)
                #expect(peak - before < 48 << 20)
            }
        }
    }

    @Test func aBodyOverTheLimitIsRefused() async throws {
        try await withServer({ connection in
            guard let (head, _) = connection.request() else { return }
            if head.hasPrefix("GET /announced") { connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n") }
            if head.hasPrefix("GET /endless") {
                connection.write("HTTP/1.1 200 OK\r\n\r\n")
                while connection.write([UInt8](repeating: 1, count: 500)) {}
            }
            if head.hasPrefix("GET /headers") {
                connection.write("HTTP/1.1 200 OK\r\n")
                while connection.write("X: \(String(repeating: "x", count: 500))\r\n") {}
            }
            connection.awaitClose()
        }) { server in
            for path in ["announced", "endless", "headers"] {
                let error = await failure(of: HTTPRequest("GET", "\(server.url)/\(path)"), bodyLimit: 1000)
                #expect(error?.code == .tooLarge, "\(path)")
            }
            try await eventually("open connections", { server.openConnections }, is: { $0 == 0 })
        }
    }

    // MARK: Failures

    @Test func aRefusedConnectionIsAnError() async throws {
        let server = try TestServer { _ in }
        server.stop()
        let error = await failure(of: HTTPRequest("GET", server.url + "/path?secret=1"))
        #expect(error?.code == .connectFailed)
        #expect(error?.message.contains(server.url + "/path: ") == true && error?.message.contains("secret") == false)
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"])
    func aConnectionCutOffIsAnErrorAfterWhatArrived(sent: String) async throws {
        try await withServer({ connection in
            if connection.request() != nil { connection.write(sent) }
        }) { server in
            let received = Mutex("")
            let error = await #expect(throws: HTTPTransportError.self) {
                try await client.stream(HTTPRequest("GET", server.url)) { response in
                    for try await chunk in response {
                        received.withLock { $0 += String(decoding: chunk, as: UTF8.self) }
                    }
                }
            }
            #expect(error?.code == .closed)
            #expect(received.withLock { $0 } == (sent.isEmpty ? "" : "12345"))
        }
    }

    @Test func nonsenseIsAnError() async throws {
        try await withServer({ connection in
            if connection.request() != nil { connection.write("SSH-2.0-OpenSSH\r\n") }
        }) { server in
            let code = await failure(of: HTTPRequest("GET", server.url))?.code
            #expect(code == .protocolViolation)
        }
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"])
    func aDeadlineEndsTheTransfer(sent: String) async throws {
        try await withServer({ connection in
            guard connection.request() != nil else { return }
            connection.write(sent)
            connection.awaitClose()
        }) { server in
            let began = ContinuousClock.now
            let error = await failure(of: HTTPRequest("GET", server.url, timeout: .milliseconds(200)))
            #expect(error?.code == .timeout)
            #expect(ContinuousClock.now - began < .seconds(5))
            try await eventually("open connections", { server.openConnections }, is: { $0 == 0 })
        }
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"])
    func cancellationClosesTheConnection(sent: String) async throws {
        let asked = DispatchSemaphore(value: 0)
        try await withServer({ connection in
            guard connection.request() != nil else { return }
            connection.write(sent)
            asked.signal()
            connection.awaitClose()
        }) { server in
            let task = Task { [client] in try await client.send(HTTPRequest("GET", server.url, timeout: nil)) }
            try await eventually("request", { asked.wait(timeout: .now()) }, is: { $0 == .success })
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            try await eventually("open connections", { server.openConnections }, is: { $0 == 0 })
        }
    }

    @Test func leavingAStreamEarlyClosesTheConnection() async throws {
        try await withServer({ connection in
            guard connection.request() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\n\r\n")
            while connection.write([UInt8](repeating: 7, count: 65_536)) {}
        }) { server in
            let status = try await client.stream(HTTPRequest("GET", server.url)) { $0.status }
            #expect(status == 200)
            try await eventually("open connections", { server.openConnections }, is: { $0 == 0 })
        }
    }

    @Test func aClientThatIsGoneLeavesNoConnection() async throws {
        try await withServer(answering: { _, _ in "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" }) { server in
            do {
                let client = HTTPClient()
                _ = try await client.send(HTTPRequest("GET", server.url))
                #expect(server.openConnections == 1)
            }
            try await eventually("open connections", { server.openConnections }, is: { $0 == 0 })
        }
    }

    private func residentBytes() throws -> Int {
        let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")[1]
        return (Int(pages) ?? 0) * Int(getpagesize())
    }

    private func swap(_ stored: inout Int, _ new: Int) -> Int {
        defer { stored = new }
        return stored
    }
}
