import Cryptography
import Foundation
import OVHSimulator
import TestSupport
import Testing

@testable import Providers

@Suite(.timeLimit(.minutes(2))) struct OVHProviderTests {
    @Test func aVMLivesFromOrderToRemoval() async throws {
        try await OVHBed.run { bed in
            let provider = bed.provider
            #expect(try await provider.list().isEmpty)
            let spec = try bed.spec()
            let made = try await provider.create(spec, log: .none)
            #expect(made.name == "mlt-1" && made.state == .running && made.createdAt != nil)
            #expect(try await provider.create(spec, log: .none) == made)
            #expect(await bed.orders() == 1)
            #expect(await bed.simulator.sshKeyNames().isEmpty)

            let endpoint = try await provider.start(made.id)
            #expect(endpoint.host.hasPrefix("127.") && endpoint.port == 4_622 && endpoint.user == "martlet")
            #expect(try await provider.endpoint(made.id) == endpoint)
            #expect(try await provider.status(made.id) == .running)

            try await provider.stop(made.id)
            try await provider.stop(made.id)
            #expect(try await provider.status(made.id) == .stopped)
            #expect(try await provider.endpoint(made.id) == nil)
            #expect(try await provider.list().map(\.state) == [.stopped])
            #expect(await bed.simulator.calls("POST /cloud/project/*/instance/*/stop") == 1)

            #expect(try await provider.start(made.id) == endpoint)
            try await provider.destroy(made.id)
            try await provider.destroy(made.id)
            #expect(try await provider.status(made.id) == .missing)
            #expect(await bed.simulator.instances().isEmpty)
            let error = await #expect(throws: ProviderError.self) { try await provider.start(made.id) }
            #expect(error?.code == .missing)
        }
    }

    @Test func whatOnlyHasANameIsDestroyedByIt() async throws {
        try await OVHBed.run { bed in
            _ = try await bed.provider.create(bed.spec(), log: .none)
            try await bed.provider.destroy(VMInstance.ID(rawValue: "mlt-1"))
            #expect(await bed.simulator.instances().isEmpty)
            try await bed.provider.destroy(VMInstance.ID(rawValue: "mlt-never"))
        }
    }

    @Test func otherPeoplesInstancesAreLeftAlone() async throws {
        try await OVHBed.run { bed in
            let other = bed.another { $0.namePrefix = "web-" }
            let theirs = try await other.create(bed.spec("web-1"), log: .none)
            #expect(try await bed.provider.list().isEmpty)
            #expect(try await bed.provider.status(theirs.id) == .missing)
            try await bed.provider.destroy(theirs.id)
            await #expect(throws: ProviderError.self) { try await bed.provider.stop(theirs.id) }
            await #expect(throws: ProviderError.self) { try await bed.provider.create(bed.spec("web-2"), log: .none) }
            #expect(await bed.simulator.instances() == ["web-1": ["ACTIVE"]])
        }
    }

    @Test func theOrderIsTheCheapestThatFitsWithItsUserData() async throws {
        try await OVHBed.run { bed in
            let spec = try bed.spec()
            _ = try await bed.provider.create(spec, log: .none)
            let userData = try #require(await bed.simulator.userData(of: "mlt-1"))
            #expect(userData.hasPrefix("#cloud-config\n{"))
            #expect(userData.utf8.count < 16_384)
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(userData.dropFirst(14).utf8)) as? [String: Any])
            #expect((object["ssh_keys"] as? [String: String])?["ed25519_private"] == spec.hostKey.privateKey)
            let users = try #require(object["users"] as? [[String: Any]])
            #expect(users.map { $0["name"] as? String } == ["martlet"])
            #expect(users.first?["ssh_authorized_keys"] as? [String] == spec.authorizedKeys)
        }
    }

    @Test func aRegionWithoutFlavoursAndASpecTooLargeAreExplained() async throws {
        try await OVHBed.run { bed in
            var spec = try bed.spec()
            spec.region = "GRA"
            let region = await #expect(throws: ProviderError.self) { try await bed.provider.create(spec, log: .none) }
            #expect(region?.code == .invalidSpec && region?.hint.contains("GRA11") == true)
            spec.region = "BHS5"
            spec.vcpus = 64
            let size = await #expect(throws: ProviderError.self) { try await bed.provider.create(spec, log: .none) }
            #expect(size?.code == .invalidSpec && size?.message.contains("64 vCPU") == true)
            spec.vcpus = 1
            spec.flavor = "b2-30"  // more than the user's quota was counted by
            let flavor = await #expect(throws: ProviderError.self) { try await bed.provider.create(spec, log: .none) }
            #expect(flavor?.code == .invalidSpec && flavor?.message.contains("larger than 1 vCPU") == true)
            spec.vcpus = 8
            spec.memoryMb = 30 << 10
            #expect(try await bed.provider.create(spec, log: .none).state == .running)
            #expect(await bed.orders() == 1)
        }
    }

    @Test func aFullProjectIsSaidBeforeAnythingIsOrdered() async throws {
        try await OVHBed.run(change: { $0.maxInstances = 1 }) { bed in
            _ = try await bed.provider.create(bed.spec(), log: .none)
            let error = await #expect(throws: ProviderError.self) {
                try await bed.provider.create(bed.spec("mlt-2"), log: .none)
            }
            #expect(error?.code == .unavailable && error?.message.contains("1 instances") == true)
            #expect(await bed.orders() == 1)
            let problems = await OVHProvider.diagnose(
                configuration: bed.configuration, logger: bed.log.logger)
            #expect(problems.count == 1 && problems[0].contains("quota"), "\(problems)")
        }
    }

    @Test func theCatalogueHasWhatCanBeOrdered() async throws {
        try await OVHBed.run { bed in
            let flavors = try await bed.provider.catalog.listFlavors()
            #expect(flavors.first?.name == "d2-2" && flavors.first?.memoryMb == 2_048)
            #expect(flavors.first { $0.name == "d2-8" }?.available == false)
            #expect(flavors.first { $0.name == "b3-32" }?.memoryMb == 32_768)
            #expect(!flavors.contains { $0.name == "r2-15" || $0.name == "win-b2-7" })
            #expect(try await bed.provider.catalog.listRegions().map(\.id) == ["BHS5", "GRA", "GRA11"])
            _ = try await bed.provider.listFlavors()
            #expect(await bed.simulator.calls("GET /cloud/project/*/flavor") == 1)
        }
    }

    @Test func lookingAtManyVMsIsOneCall() async throws {
        try await OVHBed.run { bed in
            var ids: [VMInstance.ID] = []
            for number in 0..<4 { ids.append(try await bed.provider.create(bed.spec("mlt-\(number)"), log: .none).id) }
            let before = await bed.simulator.history().count
            for id in ids {
                #expect(try await bed.provider.status(id) == .running)
                #expect(try await bed.provider.endpoint(id) != nil)
            }
            #expect(await bed.simulator.history().count == before + 1)
            try await bed.provider.stop(ids[0])
            #expect(try await bed.provider.status(ids[0]) == .stopped)
        }
    }

    @Test func whatIsWrongWithTheProjectIsDiagnosed() async throws {
        try await OVHBed.run { bed in
            func problems(_ change: (inout OVHConfiguration) -> Void) async -> String {
                var configuration = bed.configuration
                change(&configuration)
                return await OVHProvider.diagnose(configuration: configuration, logger: bed.log.logger)
                    .joined(separator: "\n")
            }
            #expect(await problems { _ in } == "")
            func credentials(_ key: String?, _ secret: String?, _ consumer: String?) -> OVHCredentials {
                OVHCredentials(
                    applicationKey: key ?? bed.simulator.applicationKey,
                    applicationSecret: secret ?? bed.simulator.applicationSecret,
                    consumerKey: consumer ?? bed.simulator.consumerKey)
            }
            #expect(await problems { $0.credentials = credentials("x", nil, nil) }.contains("OVH_APPLICATION_KEY"))
            #expect(await problems { $0.credentials = credentials(nil, "x", nil) }.contains("OVH_APPLICATION_SECRET"))
            #expect(await problems { $0.credentials = credentials(nil, nil, "x") }.contains("OVH_CONSUMER_KEY"))
            #expect(await problems { $0.project = "x" }.contains("OVH_CLOUD_PROJECT_SERVICE"))
            #expect(await problems { $0.region = "MARS1" }.contains("BHS5, GRA, GRA11"))
            #expect(await problems { $0.region = "GRA" }.contains("no flavour"))
            #expect(
                await problems { $0.endpoint = OVHEndpoint("http://127.0.0.1:1/1.0") ?? $0.endpoint }
                    .contains("OVH_ENDPOINT"))
        }
    }
}
