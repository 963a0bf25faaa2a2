import Cryptography
import Foundation
import OVHSimulator
import TestSupport
import Testing

@testable import Providers

/// Whatever fails, nothing is left that costs, and nothing is there twice.
@Suite(.timeLimit(.minutes(3))) struct OVHFailureTests {
    private static let root = "/cloud/project/*"

    /// Calls of a creation, each failing for good in every way that a call can.
    static let fatal: [Fault] = [
        Fault("GET \(root)/instance", count: 5, status: 500), Fault("GET \(root)/flavor", count: 5, status: 502),
        Fault("GET \(root)/flavor", status: 403, errorCode: "NOT_GRANTED_CALL"),
        Fault("GET \(root)/image", count: 20, drop: .before),
        Fault("GET \(root)/region/*/quota", count: 20, drop: .after),
        Fault("GET \(root)/sshkey", count: 5, status: 500),
        Fault("GET \(root)/sshkey", count: 5, status: 200, body: "<html>"),
        Fault("POST \(root)/sshkey", status: 400), Fault("POST \(root)/sshkey", count: 2, status: 500),
        Fault("POST \(root)/instance", status: 400), Fault("POST \(root)/instance", status: 403),
        Fault("POST \(root)/instance", count: 3, status: 500), Fault("POST \(root)/instance", count: 3, status: 429),
        Fault("POST \(root)/instance", count: 3, drop: .before),
        Fault("POST \(root)/instance", status: 429, retryAfter: 3_600),
        Fault("GET \(root)/instance/*", count: 5, status: 503),
        Fault("GET \(root)/instance/*", count: 20, skip: 1, drop: .before),
        Fault("GET \(root)/instance/*", status: 403),
        Fault("POST \(root)/instance", build: .stuck), Fault("POST \(root)/instance", build: .error),
        Fault("POST \(root)/instance", build: .noAddress),
        Fault("DELETE \(root)/sshkey/*", count: 5, status: 500),
    ]

    @Test(arguments: fatal)
    func aFailureLeavesNothingBehind(fault: Fault) async throws {
        try await OVHBed.run { bed in
            await bed.simulator.inject(fault)
            let spec = try bed.spec()
            await #expect(throws: ProviderError.self) { try await bed.provider.create(spec, log: .none) }
            #expect(await bed.simulator.instances().isEmpty)
            #expect(await bed.simulator.sshKeyNames().isEmpty)
            await bed.simulator.clearFaults()
            #expect(try await bed.provider.create(spec, log: .none).state == .running)
            #expect(await bed.simulator.instances() == ["mlt-1": ["ACTIVE"]])
        }
    }

    /// Failures that a creation gets over by itself.
    @Test(arguments: [
        Fault("GET /auth/time", count: 2, status: 503), Fault("GET \(root)/instance", count: 4, drop: .before),
        Fault("GET \(root)/instance", count: 5, skip: 1, status: 503),
        Fault("GET \(root)/flavor", status: 429, retryAfter: 9), Fault("GET \(root)/image", count: 3, status: 500),
        Fault("POST \(root)/sshkey", drop: .after), Fault("POST \(root)/sshkey", drop: .before),
        Fault("POST \(root)/sshkey", status: 429),
        Fault("POST \(root)/instance", drop: .after), Fault("POST \(root)/instance", drop: .before),
        Fault("POST \(root)/instance", status: 500), Fault("POST \(root)/instance", status: 429, retryAfter: 20),
        Fault("POST \(root)/instance", status: 200, body: "<html>"),
        Fault("GET \(root)/instance/*", count: 4, status: 500), Fault("GET \(root)/instance/*", status: 404),
        Fault("DELETE \(root)/sshkey/*", drop: .after),
        Fault("GET \(root)/flavor", status: 400, errorCode: "QUERY_TIME_OUT"),
    ])
    func aPassingFailureIsGotOver(fault: Fault) async throws {
        try await OVHBed.run { bed in
            await bed.simulator.inject(fault)
            let made = try await bed.provider.create(bed.spec(), log: .none)
            #expect(made.state == .running)
            #expect(await bed.simulator.instances() == ["mlt-1": ["ACTIVE"]])
            #expect(await bed.simulator.sshKeyNames().isEmpty)
        }
    }

    @Test func aLostAnswerDoesNotOrderTwice() async throws {
        try await OVHBed.run { bed in
            await bed.simulator.inject(Fault(OVHBed.orders, drop: .after))
            _ = try await bed.provider.create(bed.spec(), log: .none)
            #expect(await bed.orders() == 1)
        }
    }

    @Test func beforeASecondOrderTheNameIsLookedFor() async throws {
        try await OVHBed.run { bed in
            await bed.simulator.inject(Fault(OVHBed.orders, count: 2, drop: .before))
            _ = try await bed.provider.create(bed.spec(), log: .none)
            let calls = await bed.simulator.history()
            let orders = calls.indices.filter { calls[$0].hasPrefix("POST ") && calls[$0].hasSuffix("/instance") }
            #expect(orders.count == 3)
            for (first, second) in zip(orders, orders.dropFirst()) {
                let looks = calls[first..<second].count { $0.hasPrefix("GET ") && $0.hasSuffix("/instance") }
                #expect(looks == 3)
            }
        }
    }

    @Test func aStuckBuildIsGivenUpAfterFiveMinutesAndRemoved() async throws {
        try await OVHBed.run { bed in
            await bed.simulator.inject(Fault(OVHBed.orders, build: .stuck))
            let error = await #expect(throws: ProviderError.self) {
                try await bed.provider.create(bed.spec(), log: .none)
            }
            #expect(error?.code == .startTimeout && error?.isRetryable == true)
            #expect(error?.message.contains("BUILD") == true)
            #expect(bed.clock.sleeps.count { $0 == .seconds(5) } >= 59)
            #expect(bed.clock.now.offset > .seconds(295) && bed.clock.now.offset < .seconds(330))
            #expect(await bed.simulator.instances().isEmpty)
        }
    }

    @Test func thePauseThatOVHAsksForIsKept() async throws {
        try await OVHBed.run { bed in
            await bed.simulator.inject(Fault("GET /cloud/project/*/instance", status: 429, retryAfter: 17))
            await bed.simulator.inject(Fault("GET /cloud/project/*/instance", count: 2, status: 429))
            let none = try await bed.provider.list()
            #expect(none.isEmpty)
            #expect(bed.clock.sleeps.first == .seconds(17))
            #expect(bed.clock.sleeps.count == 3)
            await bed.simulator.inject(Fault("GET /cloud/project/*/instance", status: 429, retryAfter: 600))
            let error = await #expect(throws: ProviderError.self) { try await bed.provider.list() }
            #expect(error?.isRetryable == true)
        }
    }

    @Test func pausesGrowAndVaryWithinBounds() async throws {
        let http = OVHClient(
            configuration: OVHConfiguration(
                endpoint: try #require(OVHEndpoint("ovh-eu")), credentials: OVHSignatureTests.credentials, project: "p",
                region: "r"), logger: CapturedLog().logger)
        let error = OVHError(kind: .serverFailed, call: "", message: "")
        for failures in 1...12 {
            let pause = try #require(http.pause(after: error, failures: failures))
            #expect(pause >= .zero && pause <= .seconds(min(30, 1 << (failures - 1))))
        }
    }

    @Test func callsKeepToTheBudget() async throws {
        try await OVHBed.run { bed in
            for _ in 0..<30 { _ = try await bed.provider.list() }
            // 31 with the one for the time; ten go at once, the others a second apart.
            #expect(bed.clock.now.offset > .seconds(19) && bed.clock.now.offset < .seconds(23))
        }
    }

    @Test func aClockThatIsOffIsMadeUpForAlsoWhenItMoves() async throws {
        try await OVHBed.run { bed in
            await bed.simulator.setClock(ahead: -5_000)
            _ = try await bed.provider.list()
            await bed.simulator.setClock(ahead: 7_000)
            _ = try await bed.provider.list()
            #expect(await bed.simulator.calls("GET /auth/time") == 2)
            _ = try await bed.provider.list()
            #expect(await bed.simulator.calls("GET /auth/time") == 2)
        }
    }

    @Test func workersThatOrderAtOnceKeepOneInstance() async throws {
        try await OVHBed.run(isClockReal: true, change: { $0.buildTime = .milliseconds(100) }) { bed in
            let spec = try bed.spec()
            let providers = [bed.provider, bed.another(), bed.another()]
            let made = try await withThrowingTaskGroup(of: VMInstance.ID?.self) { group in
                for provider in providers + providers {
                    // One may find its own taken away by the others: its job is repeated.
                    group.addTask { try? await provider.create(spec, log: .none).id }
                }
                return try await group.reduce(into: Set<VMInstance.ID>()) { if let id = $1 { $0.insert(id) } }
            }
            _ = try await bed.provider.create(spec, log: .none)
            #expect(made.count == 1)
            try await eventually(
                describing: "one instance",
                read: {
                    _ = try await bed.provider.list()  // the simulator moves on when somebody looks
                    return await bed.simulator.instances()
                },
                until: { $0 == ["mlt-1": ["ACTIVE"]] })
        }
    }

    @Test func whatIsCutOffIsFoundAgain() async throws {
        try await OVHBed.run(isClockReal: true, change: { $0.buildTime = .milliseconds(400) }) { bed in
            let spec = try bed.spec()
            let creation = Task { try await bed.provider.create(spec, log: .none) }
            try await eventually(describing: "the order") { await bed.orders() == 1 }
            creation.cancel()
            let cut = await creation.result
            #expect(throws: CancellationError.self) { try cut.get() }
            #expect(await bed.simulator.instances() == ["mlt-1": ["BUILD"]])
            #expect(try await bed.provider.create(spec, log: .none).state == .running)
            #expect(await bed.orders() == 1)
            #expect(await bed.simulator.instances() == ["mlt-1": ["ACTIVE"]])
        }
    }

    @Test func aCleanUpThatFailsIsMadeGoodByTheNextAttempt() async throws {
        try await OVHBed.run { bed in
            await bed.simulator.inject(Fault(OVHBed.orders, build: .error))
            await bed.simulator.inject(Fault("DELETE /cloud/project/*/instance/*", count: 10, status: 500))
            await #expect(throws: ProviderError.self) { try await bed.provider.create(bed.spec(), log: .none) }
            #expect(await bed.simulator.instances() == ["mlt-1": ["ERROR"]])
            #expect(bed.log.text.contains("not removed"))
            await bed.simulator.clearFaults()
            _ = try await bed.provider.create(bed.spec(), log: .none)
            #expect(await bed.simulator.instances() == ["mlt-1": ["ACTIVE"]])
        }
    }

    @Test(arguments: [
        Fault("POST \(root)/instance/*/*", status: 409), Fault("POST \(root)/instance/*/*", drop: .after),
        Fault("POST \(root)/instance/*/*", drop: .before), Fault("POST \(root)/instance/*/*", status: 429),
        Fault("POST \(root)/instance/*/*", status: 500), Fault("GET \(root)/instance/*", count: 4, status: 500),
        Fault("DELETE \(root)/instance/*", drop: .after), Fault("DELETE \(root)/instance/*", count: 3, status: 503),
    ])
    func stopStartAndDestroyGetOverAFailure(fault: Fault) async throws {
        try await OVHBed.run { bed in
            let vm = try await bed.provider.create(bed.spec(), log: .none)
            await bed.simulator.inject(fault)
            try await bed.provider.stop(vm.id)
            #expect(try await bed.provider.status(vm.id) == .stopped)
            await bed.simulator.clearFaults()
            await bed.simulator.inject(fault)
            _ = try await bed.provider.start(vm.id)
            #expect(try await bed.provider.status(vm.id) == .running)
            await bed.simulator.clearFaults()
            await bed.simulator.inject(fault)
            try await bed.provider.destroy(vm.id)
            #expect(await bed.simulator.instances().isEmpty)
        }
    }

    @Test func noSecretReachesALogOrAnError() async throws {
        try await OVHBed.run { bed in
            let spec = try bed.spec()
            var texts: [String] = []
            for fault in Self.fatal {
                await bed.simulator.inject(fault)
                do {
                    _ = try await bed.provider.create(spec, log: ProvisionLog { _, _ in })
                } catch {
                    texts.append("\(error)")
                }
                await bed.simulator.clearFaults()
                try await bed.provider.destroy(VMInstance.ID(rawValue: spec.name))
            }
            texts.append(bed.log.text)
            let secrets = [
                bed.simulator.applicationSecret, bed.simulator.consumerKey, spec.runnerSecret, spec.hostKey.privateKey,
                "PRIVATE KEY",
            ]
            #expect(texts.count > 15 && bed.log.text.contains("SIM."))
            for text in texts { #expect(!secrets.contains(where: text.contains)) }
        }
    }
}
