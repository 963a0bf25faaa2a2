import Cryptography
import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

@Suite struct SetupFormTests {
    @Test(arguments: [
        ("https://github.com/owner/repo.git", "https://github.com/owner/repo.git", "repo"),
        ("https://user:s3cret@host/repo", "https://host/repo", "repo"),
        ("https://s3cret@host:8443/group/sub/repo.git/", "https://host:8443/group/sub/repo.git/", "repo"),
        ("https://host/repo?token=s3cret", "https://host/repo", "repo"),
        ("https://host/repo#s3cret", "https://host/repo", "repo"),
        ("https://a:b@c@host/repo", "https://host/repo", "repo"),
        ("ssh://git:s3cret@host:22/owner/re-po_1.x.git", "ssh://host:22/owner/re-po_1.x.git", "re-po_1.x"),
        ("git@host:owner/repo.git", "git@host:owner/repo.git", "repo"), ("git@host:repo", "git@host:repo", "repo"),
        ("file:///srv/repo.git", "file:///srv/repo.git", "repo"),
    ])
    func aRepositoryIsShownWithoutItsSecrets(url: String, shown: String, directory: String) throws {
        let repository = Repository(url: url)
        try repository.check()
        #expect(repository.displayURL == shown && repository.directory == directory)
        #expect(!"\(repository) \(EnvironmentSetup(repository: repository))".contains("s3cret"))
    }

    @Test(arguments: [
        "", "repo", "http://host/repo", "ext::sh -c 'x'", "https://", "https:///repo", "https://-oProxy/repo",
        "https://host", "https://host/", "https://host/a b", "https://host/repo\n", "ssh://-x/repo", "git@host",
        "git@:repo", "git@-x:repo", "git@host:", "file://host/repo", "https://host/..", "https://host/.git",
        "https://host/-x", "https://host/r\u{E9}po", "https://user@-x/repo",
    ])
    func whatGitWouldTakeForSomethingElseIsRefused(url: String) {
        let error = #expect(throws: ServiceError.self) { try Repository(url: url).check() }
        #expect(error?.code == .invalidRequest && error?.message.contains("repository.url") == true)
    }

    @Test(arguments: ["", "-x", "a b", "a..b", "a~1", "a:b", "x\u{7F}", String(repeating: "b", count: 256)])
    func whatIsNoBranchIsRefused(branch: String) {
        #expect(throws: ServiceError.self) { try Repository(url: "https://h/r", branch: branch).check() }
    }

    static let refused: [(EnvironmentSetup, String)] = [
        (EnvironmentSetup(variables: ["1A": ""]), "variables"), (EnvironmentSetup(variables: ["": ""]), "variables"),
        (EnvironmentSetup(variables: ["A-B": ""]), "variables"), (EnvironmentSetup(variables: ["Ä": ""]), "variables"),
        (EnvironmentSetup(variables: ["A": "s3cret\0"]), "variables.A"),
        (EnvironmentSetup(variables: ["A": String(repeating: "x", count: 65_536)]), "variables"),
        (
            EnvironmentSetup(variables: Dictionary(uniqueKeysWithValues: (0...128).map { ("A\($0)", "") })),
            "variables"
        ),
        (EnvironmentSetup(initScript: String(repeating: "#", count: 65_537)), "initScript"),
        (EnvironmentSetup(initScript: "\0"), "initScript"),
    ]

    @Test(arguments: refused) func whatNoProcessCanBeGivenIsRefused(setup: EnvironmentSetup, field: String) {
        let error = #expect(throws: ServiceError.self) { try setup.check() }
        #expect(error?.code == .invalidRequest && error?.message.hasPrefix("'\(field)'") == true)
        #expect(error.map { "\($0)".contains("s3cret") } == false)
    }

    @Test func nothingThatHoldsSecretsDescribesThem() {
        var request = EnvironmentRequest(name: "box", provider: "local")
        request.variables = ["A": "s3cret"]
        request.initScript = "s3cret"
        request.repository = Repository(url: "https://s3cret@host/repo")
        var update = EnvironmentUpdate()
        update.variables = ["A": "s3cret"]
        update.initScript = "s3cret"
        for text in ["\(request)", "\(request.setup)", "\(update)", String(reflecting: request)] {
            #expect(!text.contains("s3cret"), "\(text)")
        }
        #expect("\(update)" == "update of variables, initScript")
    }

    @Test func whatIsWithinTheBoundsIsTaken() throws {
        var setup = EnvironmentSetup(variables: ["_": "", "PATH_2": "a=b\n\u{1F426}"], initScript: "echo hi\n")
        try setup.check()
        setup.variables = ["A": String(repeating: "x", count: 65_535)]
        setup.initScript = String(repeating: "#", count: 65_536)
        try setup.check()
    }
}

extension Live {
    @Suite struct SetupTests {
        static let secrets = ["v4lue", "scr1pt", "t0ken"]

        static func fill(_ request: inout EnvironmentRequest) {
            request.variables = ["B": "v4lue", "A": "v4lue2"]
            request.initScript = "echo scr1pt"
            request.repository = Repository(url: "https://u:t0ken@host/owner/repo.git", branch: "main")
            request.flavor = "d2-2"
            request.region = "GRA11"
            request.durationHours = 8
        }

        @Test func aSetupIsSealedAndOpensForItsOwnRowOnly() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: .pro)
                let made = try await bench.create("work", for: caller, Self.fill)
                let environments = bench.fleet.environments
                let kept = try #require(try await environments.find(made.id, owner: caller.userID))
                #expect(kept == made && kept.name == "work" && kept.flavor == "d2-2" && kept.region == "GRA11")
                #expect(kept.hasInitScript && kept.needsInitialization && kept.variableNames == ["A", "B"])
                #expect(kept.repositoryURL == "https://host/owner/repo.git" && kept.setupVersion == 1)
                let lifetime = try #require(kept.expiresAt).timeIntervalSince(kept.createdAt)
                #expect(lifetime == 8 * 3_600)

                let setup = try await bench.another().environments.setup(of: made.id)
                #expect(setup.variables == ["B": "v4lue", "A": "v4lue2"] && setup.initScript == "echo scr1pt")
                #expect(setup.repository == Repository(url: "https://u:t0ken@host/owner/repo.git", branch: "main"))
                #expect(try await environments.variables(of: made.id) == setup.variables)

                let rows = try await bench.pool.query(
                    """
                    SELECT (SELECT e::text || encode(e.setup, 'escape') FROM dev_environments e)
                        || (SELECT string_agg(a::text, ' ') FROM environment_audit_log a)
                        || COALESCE((SELECT string_agg(j::text, ' ') FROM job_outbox j), '') AS text
                    """)
                let text = try #require(try rows.first?.decode("text", as: String.self)) + "\(setup) \(made)"
                for secret in Self.secrets { #expect(!text.contains(secret)) }

                let other = try await bench.create(for: caller)
                try await bench.pool.execute(
                    """
                    UPDATE dev_environments SET setup = (SELECT setup FROM dev_environments WHERE id = \(made.id))
                    WHERE id = \(other.id)
                    """)
                let error = await refusal { try await environments.setup(of: other.id) }
                #expect(error?.code == .internalError && error?.cause is CryptographyError)
                #expect(
                    await refusal { try await environments.setup(of: EnvironmentID()) }?.code == .environmentNotFound)
            }
        }

        @Test func oneWithNothingToDoSaysSo() async throws {
            try await withFleet { bench in
                let made = try await bench.create(for: try await bench.caller())
                #expect(!made.needsInitialization && made.variableNames.isEmpty && made.repositoryURL == nil)
                #expect(try await bench.fleet.environments.setup(of: made.id) == EnvironmentSetup())
            }
        }

        @Test(arguments: [0, -1, 8_761]) func aDurationIsAnHourToAYear(hours: Int) async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let error = await refusal { try await bench.create(for: caller) { $0.durationHours = hours } }
                #expect(error?.code == .invalidRequest && error?.message.contains("durationHours") == true)
            }
        }

        @Test func anUpdateChangesWhatItNamesAndNothingElse() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let environments = bench.fleet.environments
                let made = try await bench.create("work", for: caller, Self.fill)
                var update = EnvironmentUpdate()
                update.variables = ["C": "n3w"]
                var changed = try await environments.update(made.id, update, by: caller, requestID: "r2")
                #expect(changed.variableNames == ["C"] && changed.setupVersion == 2 && changed.name == "work")
                #expect(changed.expiresAt == made.expiresAt && changed.generation == made.generation)
                var setup = try await environments.setup(of: made.id)
                #expect(setup.variables == ["C": "n3w"] && setup.initScript == "echo scr1pt")
                #expect(setup.repository?.url == "https://u:t0ken@host/owner/repo.git")

                update = EnvironmentUpdate()
                update.name = "play"
                update.durationHours = .some(nil)
                changed = try await environments.update(made.id, update, by: caller, requestID: "r3")
                #expect(changed.name == "play" && changed.expiresAt == nil && changed.setupVersion == 2)
                update.durationHours = 2
                changed = try await environments.update(made.id, update, by: caller, requestID: "r4")
                let left = try #require(changed.expiresAt).timeIntervalSince(changed.updatedAt)
                #expect(left == 7_200, "counted from the change on")

                update = EnvironmentUpdate()
                update.initScript = .some(nil)
                update.variables = [:]
                changed = try await environments.update(made.id, update, by: caller, requestID: "r5")
                #expect(!changed.hasInitScript && changed.variableNames.isEmpty && changed.needsInitialization)
                setup = try await environments.setup(of: made.id)
                #expect(setup.initScript == nil && setup.variables.isEmpty && setup.repository != nil)

                let lines = try await bench.fleet.audit.list(environment: made.id).filter { $0.action == "update" }
                #expect(lines.map(\.requestID) == ["r5", "r4", "r3", "r2"])
                #expect(lines.last?.detail == ["fields": "variables"])
                #expect(!"\(lines)".contains("n3w"))
                let unchanged = try await environments.update(
                    made.id, EnvironmentUpdate(), by: caller, requestID: nil)
                #expect(unchanged == changed)
            }
        }

        func claims(_ bench: Bench, for duration: Duration = .seconds(30)) async throws -> [SetupClaim] {
            try await bench.fleet.environments.claimSetups(providers: ["local"], limit: 10, for: duration)
        }

        func complete(_ bench: Bench, _ claim: SetupClaim) async throws -> Bool {
            try await bench.fleet.environments.complete(
                claim, by: .worker("w"), errorCode: nil, duration: .milliseconds(7), detail: ["step": "script"])
        }

        @Test func aSetupIsDoneOnceAndAgainWhenItChanges() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let environments = bench.fleet.environments
                let made = try await bench.create(for: caller, Self.fill)
                #expect(try await claims(bench).isEmpty, "it does not run yet")
                try await bench.move(made, .running)
                let claim = try #require(try await claims(bench).first)
                #expect(try await claims(bench).isEmpty, "somebody is at it")
                #expect(try await complete(bench, claim))
                #expect(try await complete(bench, claim) == false)
                #expect(try await bench.auditLines(made.id, action: "setup") == 1)
                var now = try #require(try await environments.find(made.id))
                #expect(!now.needsInitialization && now.initializedAt != nil)
                var update = EnvironmentUpdate()
                update.variables = ["A": "1"]
                now = try await environments.update(made.id, update, by: caller, requestID: nil)
                #expect(!now.needsInitialization, "variables are no reason to do it again")
                update.initScript = "echo other"
                now = try await environments.update(made.id, update, by: caller, requestID: nil)
                #expect(now.needsInitialization)
                #expect(try await claims(bench).isEmpty, "it is for the next start")
                try await bench.move(now, .stopping, .stopped, .starting, .running)
                // A worker that is at an older one meanwhile does not make the new one done.
                let older = try #require(try await claims(bench).first)
                update.initScript = "echo newest"
                try await environments.update(made.id, update, by: caller, requestID: nil)
                #expect(try await complete(bench, older))
                #expect(try await environments.find(made.id)?.needsInitialization == true)
                #expect(try await claims(bench).isEmpty)
            }
        }

        @Test func oneThatFailedSaysWhyAndIsDoneAgainAfterTheNextStart() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let environments = bench.fleet.environments
                let made = try await bench.create(for: caller, Self.fill)
                try await bench.move(made, .running)
                let claim = try #require(try await claims(bench).first)
                try await environments.complete(
                    claim, by: .worker("w"), errorCode: "setup_failed",
                    message: "The init script failed (exit code 3).", duration: .milliseconds(7), detail: [:])
                var now = try #require(try await environments.find(made.id))
                #expect(now.initializedAt == nil && now.errorMessage == "The init script failed (exit code 3).")
                #expect(try await claims(bench).isEmpty)
                try await bench.move(now, .stopping, .stopped, .starting, .running)
                now = try #require(try await environments.find(made.id))
                #expect(now.errorMessage == nil, "that was the last run")
                let again = try #require(try await claims(bench).first)
                #expect(try await complete(bench, again))
                now = try #require(try await environments.find(made.id))
                #expect(now.initializedAt != nil && now.errorMessage == nil && !now.needsInitialization)
            }
        }

        @Test func aSetupWhoseWorkerIsSilentIsDueAgain() async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let made = try await bench.create(for: try await bench.caller(), Self.fill)
                let running = try await bench.move(made, .running)
                let lost = try #require(try await claims(bench, for: .zero).first)
                let claim = try #require(try await claims(bench).first)
                #expect(try await environments.renew(lost, for: .seconds(30)) == false)
                #expect(try await complete(bench, lost) == false)
                #expect(try await environments.renew(claim, for: .zero))
                let other = try await environments.claimSetups(providers: ["docker"], limit: 10, for: .seconds(30))
                #expect(other.isEmpty, "a worker without its provider may not reach it")
                let last = try #require(try await claims(bench).first)
                try await environments.release(last)
                #expect(try await environments.claimSetups(providers: ["local"], limit: 1, for: .zero).count == 1)
                let tried = try #require(try await claims(bench).first)
                try await environments.postpone(tried)
                #expect(try await claims(bench).isEmpty, "not before it may succeed")
                try await bench.move(running, .stopping)
                #expect(
                    try await bench.count("SELECT count(*) FROM dev_environments WHERE setup_due_at IS NOT NULL") == 0)
            }
        }

        @Test func aVMThatIsMadeAnewIsSetUpAnew() async throws {
            try await withFleet { bench in
                let made = try await bench.create(for: try await bench.caller(), Self.fill)
                try await bench.move(made, .running)
                #expect(try await complete(bench, try #require(try await claims(bench).first)))
                let stopped = try await bench.move(made, .stopping, .stopped)
                try await bench.move(stopped, .starting, .running, .stopping, .stopped)
                #expect(try await claims(bench).isEmpty)
                try await bench.fleet.environments.clearInitialized(made.id)
                try await bench.move(made, .starting, .running)
                #expect(try await claims(bench).count == 1)
            }
        }

        @Test func anUpdateIsRefusedToStrangersAndOfWhatIsGone() async throws {
            try await withFleet { bench in
                let owner = try await bench.caller()
                let stranger = try await bench.caller()
                let admin = try await bench.caller(role: .admin)
                let environments = bench.fleet.environments
                let made = try await bench.create(for: owner, Self.fill)
                var update = EnvironmentUpdate()
                update.name = "mine"
                let error = await refusal {
                    try await environments.update(made.id, update, by: stranger, requestID: "r9")
                }
                #expect(error?.code == .environmentNotFound)
                #expect(try await environments.update(made.id, update, by: admin, requestID: nil).name == "mine")
                update.name = " "
                #expect(
                    await refusal { try await environments.update(made.id, update, by: owner, requestID: nil) }?.code
                        == .invalidRequest)
                update.name = "late"
                try await bench.move(made, .running, .destroying)
                #expect(
                    await refusal { try await environments.update(made.id, update, by: owner, requestID: nil) }?.code
                        == .illegalTransition)
                try await bench.move(made, .destroyed)
                #expect(try await environments.setup(of: made.id) == EnvironmentSetup(), "wiped with the machine")
                var filter = AuditFilter()
                filter.environment = made.id
                filter.hasError = true
                let lines = try await bench.fleet.audit.search(filter)
                #expect(lines.map(\.errorCode) == ["illegal_transition", "forbidden"])
                #expect(lines.last?.actor == AuditActor(stranger) && lines.last?.requestID == "r9")
                #expect(lines.last?.userID == owner.userID)
            }
        }
    }
}
