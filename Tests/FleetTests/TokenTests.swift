import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct TokenTests {
        @Test func aTokenIsKeptAsItsHashOnly() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: .pro)
                let (token, record) = try await bench.fleet.tokens.create(
                    for: caller.userID, name: "laptop", by: AuditActor(caller))
                #expect(token.wholeMatch(of: /mlt_[A-Za-z0-9_-]{43}/) != nil)
                let tables = try await bench.pool.query(
                    """
                    SELECT (SELECT string_agg(t::text, ' ') FROM api_tokens t)
                        || (SELECT string_agg(a::text, ' ') FROM environment_audit_log a) AS text
                    """)
                let text = try #require(tables.first).decode("text", as: String.self)
                #expect(text.contains("laptop") && !text.contains(token.dropFirst(4)))
                let proven = try #require(try await bench.fleet.authenticator.authenticate(token))
                #expect(proven.userID == caller.userID && proven.tokenID == record.id && proven.tier == .pro)
                #expect(!proven.isAdmin && proven.scopes == [.user])
                #expect(try await bench.fleet.tokens.list(of: caller.userID).first?.lastUsedAt != nil)
            }
        }

        @Test(arguments: [
            "", "mlt_", "mlt_x", "x", String(repeating: "a", count: 47), "mlt_" + String(repeating: "ä", count: 43),
        ])
        func whatIsNoTokenIsNobodys(_ text: String) async throws {
            try await withFleet { bench in
                #expect(try await bench.fleet.authenticator.authenticate(text) == nil)
                let unknown = try TokenText.random()
                #expect(try await bench.fleet.authenticator.authenticate(unknown) == nil)
            }
        }

        @Test func anotherServerHearsAtOnceOfWhatWasTakenAway() async throws {
            try await withFleet { bench in
                let admin = try await bench.caller(role: .admin)
                let caller = try await bench.caller()
                let other = try bench.another().authenticator
                try await beside({ try await other.run() }) {
                    try await eventually(describing: "listening") { other.isListening }
                    func token() async throws -> (String, TokenID) {
                        let (token, record) = try await bench.fleet.tokens.create(
                            for: caller.userID, name: "t", by: AuditActor(caller))
                        #expect(try await other.authenticate(token) != nil)
                        return (token, record.id)
                    }
                    let (revoked, id) = try await token()
                    let (suspended, _) = try await token()
                    try await bench.fleet.tokens.revoke(id, by: caller)
                    try await eventually(within: .seconds(1), describing: "revoked token refused") {
                        try await other.authenticate(revoked) == nil
                    }
                    try await bench.fleet.users.setTier(.unlimited, of: caller.userID, by: AuditActor(admin))
                    try await eventually(within: .seconds(1), describing: "new tier") {
                        try await other.authenticate(suspended)?.tier == .unlimited
                    }
                    try await bench.fleet.users.setSuspended(true, caller.userID, by: AuditActor(admin))
                    try await eventually(within: .seconds(1), describing: "suspended user refused") {
                        do {
                            _ = try await other.authenticate(suspended)
                            return false
                        } catch let error as ServiceError {
                            return error.code == .accountSuspended
                        }
                    }
                    #expect(try await other.authenticate(revoked) == nil, "a token that is none tells nothing")
                    try await bench.fleet.users.setSuspended(false, caller.userID, by: AuditActor(admin))
                    #expect(try await bench.fleet.authenticator.authenticate(suspended) != nil)
                }
            }
        }

        @Test func nothingIsAnsweredFromMemoryWhileNobodyListens() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let authenticator = bench.fleet.authenticator
                // So that a change goes unheard: what memory holds is all that could say otherwise.
                try await bench.pool.execute("ALTER TABLE api_tokens DISABLE TRIGGER api_tokens_changed")
                func setRevoked(_ sql: SQL) async throws {
                    try await bench.pool.execute("UPDATE api_tokens SET revoked_at = \(sql)")
                }
                let (token, _) = try await bench.fleet.tokens.create(
                    for: caller.userID, name: "t", by: AuditActor(caller))
                #expect(try await authenticator.authenticate(token) != nil)
                try await setRevoked("now()")
                #expect(try await authenticator.authenticate(token) == nil, "never listened: looked up")
                try await setRevoked("NULL")

                try await beside({ try await authenticator.run() }) {
                    try await eventually(describing: "listening") { authenticator.isListening }
                    #expect(try await authenticator.authenticate(token) != nil)
                    try await setRevoked("now()")
                    #expect(try await authenticator.authenticate(token) != nil, "unheard of, so from memory")
                    let ended = try await bench.count(
                        """
                        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()
                            AND (query ILIKE 'listen%' OR query = 'select 1')
                        """)
                    #expect(ended == 1)
                    try await eventually(within: .seconds(1), describing: "looked up again") {
                        try await authenticator.authenticate(token) == nil
                    }
                }
            }
        }

        @Test func tokensOfOthersCannotBeSeenOrRevokedButByAdmins() async throws {
            try await withFleet { bench in
                let owner = try await bench.caller()
                let stranger = try await bench.caller()
                let admin = try await bench.caller(role: .admin)
                let (token, record) = try await bench.fleet.tokens.create(
                    for: owner.userID, name: "t", by: AuditActor(owner))
                let error = await #expect(throws: ServiceError.self) {
                    try await bench.fleet.tokens.revoke(record.id, by: stranger)
                }
                #expect(error?.code == .tokenNotFound)
                #expect(try await bench.fleet.authenticator.authenticate(token) != nil)
                try await bench.fleet.tokens.revoke(record.id, of: owner.userID, by: admin)
                try await bench.fleet.tokens.revoke(record.id, by: owner)
                #expect(try await bench.fleet.authenticator.authenticate(token) == nil)
                let forbidden = await #expect(throws: ServiceError.self) {
                    try await bench.fleet.tokens.create(
                        for: owner.userID, name: "t", scopes: [.admin], by: AuditActor(owner))
                }
                #expect(forbidden?.code == .forbidden)
            }
        }

        @Test func anExpiredTokenIsRefusedAlsoFromMemory() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let authenticator = bench.fleet.authenticator
                try await beside({ try await authenticator.run() }) {
                    try await eventually(describing: "listening") { authenticator.isListening }
                    let (token, _) = try await bench.fleet.tokens.create(
                        for: caller.userID, name: "t", expiresAt: .now + 0.5, by: AuditActor(caller))
                    #expect(try await authenticator.authenticate(token) != nil)
                    try await eventually(within: .seconds(2), describing: "expired token refused") {
                        try await authenticator.authenticate(token) == nil
                    }
                }
            }
        }

        @Test func namesOfUsersAreUniqueWhateverTheirCase() async throws {
            try await withFleet { bench in
                let first = try await bench.fleet.users.create(
                    email: "a@example.org", name: "Ada", role: .admin, by: .system("test"))
                for (name, email) in [("ADA", "b@example.org"), ("Bob", "A@example.org")] {
                    let error = await #expect(throws: ServiceError.self) {
                        try await bench.fleet.users.create(email: email, name: name, by: .system("test"))
                    }
                    #expect(error?.code == .alreadyExists)
                }
                let illegal = await #expect(throws: ServiceError.self) {
                    try await bench.fleet.users.create(name: "a\0b", by: .system("test"))
                }
                #expect(illegal?.code == .invalidRequest)
                #expect(try await bench.fleet.users.byName("ada") == first)
                #expect(try await bench.fleet.users.firstAdmin() == first)
            }
        }
    }
}
