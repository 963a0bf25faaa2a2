import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Client

/// Calls of a server that answers as a script has it.
@Suite struct CallingTests {
    private func answer(_ json: String, status: String = "200 OK") -> String {
        "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\nContent-Length: \(json.utf8.count)\r\n"
            + "Connection: close\r\n\r\n\(json)"
    }

    private func entries(_ range: Range<Int>) -> String {
        range.map { #"{"id":"e\#($0)"}"# }.joined(separator: ",")
    }

    /// 450 things in pages of as many as are asked for.
    private func page(_ request: String) -> String {
        let query = URLComponents(string: "http://x" + request.split(separator: " ")[1])?.queryItems ?? []
        func number(_ name: String) -> Int? {
            query.first { $0.name == name }?.value.flatMap { Int($0.drop { !$0.isNumber }) }
        }
        let start = number("after").map { $0 + 1 } ?? number("offset") ?? 0
        let end = min(450, start + (number("limit") ?? 0))
        let next = end < 450 ? "\(end)" : "null"
        return answer(#"{"things":[\#(entries(start..<end))],"nextOffset":\#(next)}"#)
    }

    static let pagings: [APIClient.Paging] = [
        .last(parameter: "after"), .cursor(parameter: "offset", field: "nextOffset"),
    ]

    @Test(arguments: pagings) func aListIsReadPageByPage(paging: APIClient.Paging) async throws {
        let requests = Mutex<[String]>([])
        let behaviour = LoopbackServer.Behaviour.answer { request in
            requests.withLock { $0.append(String(request.split(separator: " ")[1])) }
            return page(request)
        }
        try await LoopbackServer.with(behaviour) { server in
            let client = APIClient(url: "http://127.0.0.1:\(server.port)", token: "t")
            for (limit, count, isCut, pages) in [
                (10, 10, true, 1), (199, 199, true, 1), (250, 250, true, 2), (450, 450, false, 3),
                (5_000, 450, false, 3),
            ] {
                requests.withLock { $0 = [] }
                let list = try await client.list(
                    "/v1/things", [("name", "a b"), ("not", nil)], field: "things", paging: paging, limit: limit)
                #expect(list.entries.compactMap { $0["id"]?.text } == (0..<count).map { "e\($0)" })
                #expect(list.isCut == isCut, "\(limit)")
                #expect(requests.withLock { $0.count } == pages, "\(limit)")
                #expect(requests.withLock { $0.allSatisfy { $0.hasPrefix("/v1/things?name=a%20b&limit=") } })
            }
        }
    }

    @Test func whatIsMadeIsMadeOnceHoweverOftenItIsSent() async throws {
        let keys = Mutex<[String]>([])
        let answers = ["", answer(#"{"error":{"code":"idempotency_conflict","message":"m"}}"#, status: "409 Conflict")]
        let behaviour = LoopbackServer.Behaviour.answer { request in
            let key = request.split(separator: "\r\n").first { $0.lowercased().hasPrefix("idempotency-key:") }
            let count = keys.withLock { keys in
                keys.append(String(key ?? ""))
                return keys.count
            }
            return count <= answers.count ? answers[count - 1] : answer(#"{"made":1}"#)
        }
        try await LoopbackServer.with(behaviour) { server in
            let client = APIClient(url: "http://127.0.0.1:\(server.port)", token: "t")
            let made = try await client.create("/v1/things", json: ["name": "x"])
            #expect(try made.decoded(as: JSONValue.self)["made"]?.integer == 1)
        }
        let seen = keys.withLock { $0 }
        #expect(seen.count == 3)
        #expect(Set(seen).count == 1 && seen.first?.count ?? 0 > 30, "\(seen)")
    }

    @Test func aRefusalIsNotSentAgain() async throws {
        let count = Mutex(0)
        let refusal = answer(
            #"{"error":{"code":"quota_exceeded","message":"m","hint":"h","requestId":"r"}}"#, status: "403 Forbidden")
        let behaviour = LoopbackServer.Behaviour.answer { _ in
            count.withLock { $0 += 1 }
            return refusal
        }
        try await LoopbackServer.with(behaviour) { server in
            let client = APIClient(url: "http://127.0.0.1:\(server.port)", token: "t")
            let error = await #expect(throws: ClientError.self) {
                _ = try await client.create("/v1/things", json: ["name": "x"])
            }
            #expect(error?.detail == "quota_exceeded, request r")
        }
        #expect(count.withLock { $0 } == 1)
    }

    @Test func waitingEndsWithTheStateTheErrorOrTheThing() async throws {
        let states = Mutex<[String]>([])
        let behaviour = LoopbackServer.Behaviour.answer { request in
            guard request.hasPrefix("GET /thing ") else { return answer("{}", status: "404 Not Found") }
            let state = states.withLock { $0.count > 1 ? $0.removeFirst() : $0.first ?? "" }
            return answer(#"{"vm":{"state":"\#(state)","errorMessage":"no disk"}}"#)
        }
        try await LoopbackServer.with(behaviour) { server in
            let client = APIClient(url: "http://127.0.0.1:\(server.port)", token: "t")
            let transition = Transition(path: "/thing", field: "vm", logPath: "/log", advice: "look")
            func wait(_ script: [String], limit: Duration = .seconds(30)) async throws -> JSONValue? {
                states.withLock { $0 = script }
                return try await client.wait(
                    for: transition, within: limit,
                    until: { $0?["state"]?.text == "running" || script.last == "destroyed" && $0 == nil }, log: { _ in }
                )
            }
            let running = try await wait(["starting", "running"])
            #expect(running?["state"]?.text == "running")
            let gone = try await wait(["destroying", "destroyed"])
            #expect(gone == nil)
            let failure = await #expect(throws: ClientError.self) { _ = try await wait(["starting", "error"]) }
            #expect(failure?.code == "vm_failed" && failure?.message == "no disk" && failure?.hint == "look")
            let late = await #expect(throws: ClientError.self) {
                _ = try await wait(["starting"], limit: .milliseconds(50))
            }
            #expect(late?.code == "wait_timeout")
        }
    }

    @Test func theLastWordOfALogIsTold() async throws {
        @Sendable func line(_ message: String) -> String { #"{"timestamp":"t","level":"info","message":"\#(message)"}"# }
        let told = Mutex<[String]>([])
        let behaviour = LoopbackServer.Behaviour.answer { request in
            if request.hasPrefix("GET /log?follow=1 ") {  // ends too early
                return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: \(line("old"))\n\ndata: \(line("begun"))\n\n"
            }
            if request.hasPrefix("GET /log ") {
                return answer(#"{"logs":[\#(line("old")),\#(line("begun")),\#(line("done"))]}"#)
            }
            return answer(#"{"vm":{"state":"\#(told.withLock { $0.isEmpty } ? "starting" : "running")"}}"#)
        }
        try await LoopbackServer.with(behaviour) { server in
            let client = APIClient(url: "http://127.0.0.1:\(server.port)", token: "t")
            _ = try await client.wait(
                for: Transition(path: "/thing", field: "vm", logPath: "/log", advice: ""),
                known: [ProvisionLogLine(timestamp: "t", level: "info", message: "old")],
                until: { $0?["state"]?.text == "running" }, log: { line in told.withLock { $0.append(line.message) } })
        }
        #expect(told.withLock { $0 } == ["begun", "done"])
    }

    @Test func aNameIsOnePartOfAPath() throws {
        #expect(try Resource.environment.path(of: "a/../b?c#é") == "/v1/environments/a%2F..%2Fb%3Fc%23%C3%A9")
        for name in ["", ".", ".."] {
            #expect(throws: ClientError.self) { try Resource.environment.path(of: name) }
        }
    }
}
