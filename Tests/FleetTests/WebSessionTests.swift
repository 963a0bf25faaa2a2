import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct WebSessionTests {
        /// A user with a token, and a session begun with it.
        private func begun(_ bench: Bench) async throws -> (caller: Caller, token: APIToken, session: String) {
            let caller = try await bench.caller()
            let (text, record) = try await bench.fleet.tokens.create(
                for: caller.userID, name: "browser", by: AuditActor(caller))
            let session = try #require(try await bench.fleet.webSessions.begin(token: text))
            return (caller, record, session)
        }

        @Test func aSessionStandsForTheTokenItWasBegunWith() async throws {
            try await withFleet { bench in
                let (caller, token, session) = try await begun(bench)
                let found = try #require(try await bench.fleet.webSessions.authenticate(session))
                #expect(found.userID == caller.userID && found.tokenID == token.id && found.scopes == [.user])
                let kept = try await bench.pool.query(
                    """
                    SELECT (SELECT string_agg(s::text, ' ') FROM web_sessions s)
                        || (SELECT string_agg(a::text, ' ') FROM environment_audit_log a) AS text
                    """)
                let text = try #require(kept.first).decode("text", as: String.self)
                #expect(text.contains("session.begin") && !text.contains(session))
                #expect(try await bench.fleet.webSessions.begin(token: try TokenText.random()) == nil)
            }
        }

        @Test func itEndsWithItsTokenAndItsUserAndBySigningOut() async throws {
            try await withFleet { bench in
                let sessions = bench.fleet.webSessions
                let admin = try await bench.caller(role: .admin)
                let (caller, token, first) = try await begun(bench)
                try await bench.fleet.tokens.revoke(token.id, by: caller)
                #expect(try await sessions.authenticate(first) == nil)
                let (other, _, second) = try await begun(bench)
                try await bench.fleet.users.setSuspended(true, other.userID, by: AuditActor(admin))
                let told = await refusal { try await sessions.authenticate(second) }
                #expect(told?.code == .accountSuspended, "the holder of the right session is told why")
                try await sessions.end(second)
                #expect(try await sessions.authenticate(second) == nil, "and may sign out")
                let (_, _, third) = try await begun(bench)
                try await sessions.end(third)
                #expect(try await sessions.authenticate(third) == nil)
                try await sessions.end(third)
                #expect(
                    try await bench.count(
                        "SELECT count(*) FROM environment_audit_log WHERE action = 'session.end'") == 1)
            }
        }

        @Test func anotherServerHearsAtOnceThatItEnded() async throws {
            try await withFleet { bench in
                let other = try bench.another()
                try await beside({ try await other.authenticator.run() }) {
                    try await eventually(describing: "listening") { other.authenticator.isListening }
                    let (_, _, session) = try await begun(bench)
                    #expect(try await other.webSessions.authenticate(session) != nil)
                    try await bench.fleet.webSessions.end(session)
                    try await eventually(within: .seconds(1), describing: "the session refused") {
                        try await other.webSessions.authenticate(session) == nil
                    }
                }
            }
        }

        @Test func itEndsAfterTwoWeeksWithoutUseAndIsThenRemoved() async throws {
            try await withFleet { bench in
                let (_, _, session) = try await begun(bench)
                func backdate(_ days: Int) async throws {
                    try await bench.pool.execute(
                        "UPDATE web_sessions SET last_used_at = now() - make_interval(days => \(days))")
                }
                try await backdate(13)
                #expect(try await bench.fleet.webSessions.authenticate(session) != nil)
                #expect(
                    try await bench.count(
                        "SELECT count(*) FROM web_sessions WHERE last_used_at > now() - interval '1 minute'") == 1,
                    "the use is noted")
                #expect(try await bench.fleet.webSessions.prune(limit: 10) == 0)
                try await backdate(15)
                #expect(try await bench.fleet.webSessions.authenticate(session) == nil)
                #expect(try await bench.fleet.webSessions.prune(limit: 10) == 1)
            }
        }

        @Test func aCodeIsGoodOnceHoweverManyTryAtOnce() async throws {
            try await withFleet { bench in
                let (_, token, _) = try await begun(bench)
                let sessions = bench.fleet.webSessions
                let code = try await sessions.makeCode(for: token.id)
                let begun = try await withThrowingTaskGroup(of: String?.self) { group in
                    for _ in 0..<20 { group.addTask { try await sessions.begin(code: code) } }
                    return try await group.reduce(into: [String]()) { if let session = $1 { $0.append(session) } }
                }
                #expect(begun.count == 1)
                #expect(try await sessions.begin(code: code) == nil)
                #expect(try await sessions.begin(code: "*") == nil)
            }
        }

        @Test func oneMoreThanAUserMayHaveEndsTheOneNotUsedForLongest() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let (text, _) = try await bench.fleet.tokens.create(
                    for: caller.userID, name: "browser", by: AuditActor(caller))
                let first = try #require(try await bench.fleet.webSessions.begin(token: text))
                try await bench.pool.execute("UPDATE web_sessions SET last_used_at = now() - interval '1 hour'")
                for _ in 0..<WebSessionStore.limit { _ = try await bench.fleet.webSessions.begin(token: text) }
                #expect(try await bench.fleet.webSessions.authenticate(first) == nil)
                #expect(try await bench.count("SELECT count(*) FROM web_sessions") == WebSessionStore.limit)
            }
        }
    }
}
