import EventLoop
import Fleet
import Gateway
import Logging
import Operator
import Providers

extension VMProviders {
    /// How long a provider may take to say what it has.
    private static let catalogPatience = Duration.seconds(20)

    /// What the providers offer, one after another in their order. One that makes VMs of the tiers' sizes, in one place,
    /// has a flavour a tier and one region, of its name.
    static func catalog(_ settings: Settings, logger: Logger) -> ProviderCatalog {
        // The worker of this process has providers of its own; what these ask for is kept for ten minutes.
        let offers = settings.providers.map { Offer(of: $0, settings, logger) }
        return ProviderCatalog(
            flavors: {
                var flavors: [FlavorView] = []
                for offer in offers { flavors += try await offer.flavors() }
                return flavors
            },
            regions: {
                var regions: [String] = []
                for offer in offers { regions += try await offer.regions() }
                return regions
            })
    }

    private enum Offer: Sendable {
        case tiers(_ provider: String)
        case catalog(_ provider: String, any VMCatalog)
        /// It cannot be spoken with from here, which is said to whoever asks: a gateway works without.
        case unknown(_ provider: String, because: any Error)

        init(of name: String, _ settings: Settings, _ logger: Logger) {
            switch ProviderKind(rawValue: name) {
            case .local, .docker, .firecracker, nil: self = .tiers(name)
            case .ovh:
                do {
                    self = .catalog(name, try VMProviders.make(name, settings, logger: logger).catalog)
                } catch {
                    self = .unknown(name, because: error)
                }
            }
        }

        func flavors() async throws -> [FlavorView] {
            switch self {
            case .tiers(let name): FlavorView.tiers(type: name, region: name)
            case .catalog(let name, let catalog):
                try await asked(name) { try await catalog.listFlavors() }.map { FlavorView($0, of: name) }
            case .unknown(let name, let error): throw unavailable(name, error)
            }
        }

        func regions() async throws -> [String] {
            switch self {
            case .tiers(let name): [name]
            case .catalog(let name, let catalog):
                try await asked(name) { try await catalog.listRegions() }.filter(\.available).map(\.id)
            case .unknown(let name, let error): throw unavailable(name, error)
            }
        }

        private func asked<Answer: Sendable>(
            _ name: String, _ question: @escaping @Sendable () async throws -> Answer
        ) async throws -> Answer {
            do {
                return try await withDeadline(catalogPatience, "what '\(name)' offers") { try await question() }
            } catch let error where error is ProviderError || error is DeadlineExceeded {
                throw unavailable(name, error)
            }
        }

        private func unavailable(_ name: String, _ cause: any Error) -> ServiceError {
            ServiceError(
                .serviceUnavailable, "The provider '\(name)' does not say what it offers.",
                hint: "Try again in a moment; 'martlet doctor' says what is wrong with it.", cause: cause)
        }
    }
}

extension FlavorView {
    fileprivate init(_ flavor: VMFlavor, of provider: String) {
        self.init(
            id: flavor.id, name: flavor.name, vcpus: flavor.vcpus, ram: flavor.memoryMb / 1_024,
            disk: flavor.diskMb / 1_024, type: provider, available: flavor.available,
            region: flavor.region ?? provider)
    }
}
