import Testing

@testable import Providers

@Suite struct ProviderSetTests {
    @Test func theFirstIsTheStandardAndEachIsFoundByItsName() throws {
        let set = try ProviderSet(Named(kind: .docker), [Named(kind: .local)])
        #expect(set.standard.kind == .docker)
        #expect(set.kinds == [.docker, .local])
        #expect(try set.provider(named: "local").kind == .local)
        #expect(try set.provider(named: "docker").kind == .docker)
        #expect(set.find(.ovh) == nil)
    }

    @Test(arguments: ["ovh", "Local", ""])
    func anAbsentProviderIsNamedBesideThoseThereAre(name: String) throws {
        let set = try ProviderSet(Named(kind: .local), [Named(kind: .docker)])
        let error = try #require(throws: ProviderError.self) { try set.provider(named: name) }
        #expect(error.code == .unavailable)
        #expect(!error.isRetryable)
        #expect(error.message == "This process has no provider '\(name)', only 'local', 'docker'.")
    }

    @Test func aKindGivenTwiceIsRefused() {
        #expect(throws: ProviderError.self) {
            try ProviderSet(Named(kind: .local), [Named(kind: .docker), Named(kind: .local)])
        }
    }
}

/// A provider that has a kind and no VMs.
private struct Named: VMProvider {
    let kind: ProviderKind

    func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance {
        VMInstance(id: .init(rawValue: spec.name), name: spec.name, state: .stopped)
    }
    func start(_ id: VMInstance.ID) async throws -> VMEndpoint { throw ProviderError.missing(id) }
    func stop(_ id: VMInstance.ID) async throws { throw ProviderError.missing(id) }
    func destroy(_ id: VMInstance.ID) async throws {}
    func status(_ id: VMInstance.ID) async throws -> VMStatus { .missing }
    func list() async throws -> [VMInstance] { [] }
    func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint? { nil }
    func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String] { [] }
}
