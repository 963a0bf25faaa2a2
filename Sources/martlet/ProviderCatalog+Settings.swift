import EventLoop
import Fleet
import Gateway
import Logging
import Operator
import Providers

extension VMProviders {
    /// How long a provider may take to say what it has.
    private static let catalogPatience = Duration.seconds(20)

    /// What the providers offer, in their order; they are asked at once. One that makes VMs of the tiers' sizes, in one
    /// place, has a flavour a tier and one region, of its name.
    static func catalog(_ settings: Settings, logger: Logger) -> ProviderCatalog {
        // The worker of this process has providers of its own; what these ask for is kept for ten minutes.
        let sources = settings.providers.map { Source(of: $0, settings, logger) }
        return {
            let answers = try await withThrowingTaskGroup(of: (Int, Source.Answer).self) { group in
                for (place, source) in sources.enumerated() {
                    group.addTask { (place, try await source.answer()) }
                }
                return try await group.reduce(into: [Source.Answer?](repeating: nil, count: sources.count)) {
                    $0[$1.0] = $1.1
                }
            }
            var offer = Offer()
            for case (let name, let answer?) in zip(settings.providers, answers) {
                switch answer {
                case .success(let (flavors, regions)): offer.add(flavors: flavors, regions: regions)
                case .failure(let error): offer.add(name, error)
                }
            }
            let failures = answers.compactMap { if case .failure(let error)? = $0 { error } else { nil } }
            if let first = failures.first, failures.count == sources.count { throw first }
            return offer
        }
    }

    private enum Source: Sendable {
        typealias Answer = Result<(flavors: [FlavorView], regions: [String]), ServiceError>

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

        /// Throws only if cancelled.
        func answer() async throws -> Answer {
            switch self {
            case .tiers(let name): return .success((FlavorView.tiers(type: name, region: name), [name]))
            case .unknown(let name, let error): return .failure(unavailable(name, error))
            case .catalog(let name, let catalog):
                do {
                    return try await withDeadline(catalogPatience, "what '\(name)' offers") {
                        let flavors = try await catalog.listFlavors().map { FlavorView($0, of: name) }
                        return .success((flavors, try await catalog.listRegions().filter(\.available).map(\.id)))
                    }
                } catch let error where error is ProviderError || error is DeadlineExceeded {
                    return .failure(unavailable(name, error))
                }
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
