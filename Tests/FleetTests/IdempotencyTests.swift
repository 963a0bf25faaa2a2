import Cryptography
import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct IdempotencyTests {
        static let request = Array("POST /v1/environments {}".utf8)

        static func claim(_ bench: Bench, _ user: UserID, _ key: String = "k") async throws -> IdempotencyStore.Claim {
            guard
                case .proceed(let claim) = try await bench.fleet.idempotency.begin(
                    user, key: key, fingerprint: request)
            else { throw NeverHappened(awaited: "claim", limit: .zero, lastSeen: "another answer") }
            return claim
        }

        @Test func whatWasAnsweredIsAnsweredAgain() async throws {
            try await withFleet { bench in
                let store = bench.fleet.idempotency
                let user = try await bench.caller().userID
                let claim = try await Self.claim(bench, user)
                #expect(try await store.begin(user, key: "k", fingerprint: Self.request) == .inProgress)
                #expect(try await store.begin(user, key: "k", fingerprint: [1]) == .mismatch)
                let body = [UInt8]("{\"token\":\"mlt_s3cret\"}\0\u{FF}".utf8)
                #expect(
                    try await store.complete(
                        claim, status: 201, headers: ["location": "/v1/environments/x"], body: body))
                for _ in 0..<2 {
                    #expect(
                        try await bench.another().idempotency.begin(user, key: "k", fingerprint: Self.request)
                            == .replay(status: 201, headers: ["location": "/v1/environments/x"], body: body))
                }
                #expect(try await store.begin(user, key: "k", fingerprint: [1]) == .mismatch)
                #expect(try await store.complete(claim, status: 500, body: []) == false, "it has its answer")
                let rows = try await bench.pool.query(
                    "SELECT k::text || encode(answer, 'escape') AS text FROM idempotency_keys k")
                #expect(try rows.first?.decode("text", as: String.self).contains("s3cret") == false)
                // The key is the user's own.
                _ = try await Self.claim(bench, try await bench.caller().userID)
            }
        }

        @Test func ofManyAtOnceOneProceeds() async throws {
            try await withFleet { bench in
                let user = try await bench.caller().userID
                let servers = [bench.fleet, try bench.another()]
                let claims = try await withThrowingTaskGroup(of: IdempotencyStore.Beginning.self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            try await servers[number % 2].idempotency.begin(user, key: "k", fingerprint: Self.request)
                        }
                    }
                    return try await group.reduce(into: []) { if $1 != .inProgress { $0.append($1) } }
                }
                #expect(claims.count == 1)
            }
        }

        @Test func whatWasGivenUpOrLeftBehindCanBeDone() async throws {
            try await withFleet { bench in
                let store = bench.fleet.idempotency
                let user = try await bench.caller().userID
                try await store.abandon(try await Self.claim(bench, user))
                let dead = try await Self.claim(bench, user)
                func age(_ seconds: Int) async throws {
                    try await bench.pool.execute(
                        "UPDATE idempotency_keys SET claimed_at = now() - make_interval(secs => \(seconds))")
                }
                try await age(59)
                #expect(try await store.begin(user, key: "k", fingerprint: Self.request) == .inProgress)
                try await age(61)
                #expect(try await store.begin(user, key: "k", fingerprint: [1]) == .mismatch, "not for another request")
                let heir = try await Self.claim(bench, user)
                #expect(try await store.complete(dead, status: 200, body: []) == false, "its gateway was only slow")
                try await store.abandon(dead)
                #expect(try await store.complete(heir, status: 202, body: [1]))
                try await age(1_000)
                #expect(
                    try await store.begin(user, key: "k", fingerprint: Self.request)
                        == .replay(status: 202, headers: [:], body: [1]))
            }
        }

        @Test func whatIsMadeIsMadeWithItsAnswerOrNotAtAll() async throws {
            try await withFleet { bench in
                let (store, environments) = (bench.fleet.idempotency, bench.fleet.environments)
                let caller = try await bench.caller()
                func keeper(_ claim: IdempotencyStore.Claim) -> IdempotencyStore.Keeper<Environment> {
                    store.keeper(for: claim, status: 202) { Array($0.slug.rawValue.utf8) }
                }
                let request = EnvironmentRequest(name: "box", provider: "local")
                let slow = try await Self.claim(bench, caller.userID)
                try await bench.pool.execute("UPDATE idempotency_keys SET claimed_at = now() - interval '61 s'")
                let heir = try await Self.claim(bench, caller.userID)
                let late = await refusal {
                    try await environments.create(request, for: caller, requestID: nil, keeper: keeper(slow))
                }
                #expect(late?.code == .idempotencyConflict)
                #expect(try await environments.list(owner: caller.userID).isEmpty, "its claim was taken over")
                let unkept = await refusal {
                    try await environments.create(
                        request, for: caller, requestID: nil,
                        keeper: store.keeper(for: heir, status: 202) { _ in [UInt8](repeating: 0, count: 65_537) })
                }
                #expect(unkept?.code == .internalError)
                #expect(try await environments.list(owner: caller.userID).isEmpty, "its answer cannot be kept")

                // Whoever made it may now die before it says so.
                let made = try await environments.create(request, for: caller, requestID: nil, keeper: keeper(heir))
                try await bench.pool.execute("UPDATE idempotency_keys SET claimed_at = now() - interval '1 h'")
                #expect(
                    try await store.begin(caller.userID, key: "k", fingerprint: Self.request)
                        == .replay(status: 202, headers: [:], body: Array(made.slug.rawValue.utf8)))
                try await store.abandon(heir)
                #expect(
                    try await store.begin(caller.userID, key: "k", fingerprint: [1]) == .mismatch,
                    "what is done cannot be given up")
            }
        }

        @Test func aTokenAndAVMAreMadeWithTheirAnswersToo() async throws {
            try await withFleet { bench in
                let store = bench.fleet.idempotency
                let caller = try await bench.caller()
                let claim = try await Self.claim(bench, caller.userID, "token")
                let (text, record) = try await bench.fleet.tokens.create(
                    for: caller.userID, name: "t", by: .system("test"),
                    keeper: store.keeper(for: claim, status: 201) { Array("\($0.token) \($0.record.id)".utf8) })
                #expect(
                    try await store.begin(caller.userID, key: "token", fingerprint: Self.request)
                        == .replay(status: 201, headers: [:], body: Array("\(text) \(record.id)".utf8)))
                // A VM that is there is the answer too.
                for key in ["first", "second"] {
                    let vm = try await bench.fleet.environments.createUserVM(
                        for: caller, requestID: nil, provider: "local",
                        keeper: store.keeper(for: try await Self.claim(bench, caller.userID, key), status: 202) {
                            Array("\($0.id)".utf8)
                        })
                    #expect(
                        try await store.begin(caller.userID, key: key, fingerprint: Self.request)
                            == .replay(status: 202, headers: [:], body: Array("\(vm.id)".utf8)))
                }
                #expect(try await bench.fleet.environments.list(owner: caller.userID).count == 1)
            }
        }

        @Test func aDayLaterAKeyIsFree() async throws {
            try await withFleet { bench in
                let store = bench.fleet.idempotency
                let user = try await bench.caller().userID
                for key in ["a", "b", "c"] {
                    try await store.complete(try await Self.claim(bench, user, key), status: 200, body: [])
                }
                #expect(try await store.prune() == 0)
                let expiry = try await bench.count(
                    "SELECT extract(epoch FROM min(expires_at) - now())::int FROM idempotency_keys")
                #expect((86_300...86_400).contains(expiry))
                try await bench.pool.execute(
                    "UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE key <> 'c'")
                guard case .proceed = try await store.begin(user, key: "a", fingerprint: [9]) else {
                    Issue.record("expired, and still held")
                    return
                }
                #expect(try await store.prune(limit: 1) == 1)
                #expect(try await store.prune(limit: 1) == 0)
                #expect(try await bench.count("SELECT count(*) FROM idempotency_keys") == 2)
            }
        }

        @Test func whatCannotBeKeptIsRefused() async throws {
            try await withFleet { bench in
                let store = bench.fleet.idempotency
                let user = try await bench.caller().userID
                for key in ["", "a b", "a\0", "ä", String(repeating: "k", count: 256)] {
                    let error = await refusal { try await store.begin(user, key: key, fingerprint: []) }
                    #expect(error?.code == .invalidRequest)
                }
                let claim = try await Self.claim(bench, user, String(repeating: "k", count: 255))
                let large = [UInt8](repeating: 0, count: 65_537)
                #expect(await refusal { try await store.complete(claim, status: 200, body: large) } != nil)
                #expect(try await store.complete(claim, status: 200, body: large.dropLast()))
            }
        }
    }
}
